"""One evaluation: a prompt version on a split, answered, scored, summed up and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from upath import UPath

from domain.dataset import DatasetVersion, Row, Split
from domain.evaluators.registry import build_evaluator
from domain.gate import ArmResults
from domain.identity import content_id
from domain.prompt import PromptVersion
from domain.task import Task
from resources.database.repositories import evaluations
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.session import Database
from resources.evaluation.answering import Answered, answer_rows
from resources.evaluation.prompt_runner import Completer
from resources.evaluation.results import ExampleResult, score_examples, summarise, write_examples
from resources.evaluation.stored_answers import StoredAnswers
from resources.llm.types import CallContext
from resources.storage.datasets import DatasetStore

EvaluationProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation with its examples, ordered by input id, and what this run paid for it."""

    record: EvaluationRecord
    examples: tuple[ExampleResult, ...]
    answered: Answered

    def arm(self) -> ArmResults:
        """The examples as the gate takes them."""
        return ArmResults(
            scores=tuple(example.score for example in self.examples),
            costs=tuple(example.cost_nano_usd for example in self.examples),
            latencies=tuple(example.latency_s for example in self.examples),
        )


class EvaluationEngine:
    """Evaluates prompt versions of one task on one dataset version."""

    def __init__(
        self,
        *,
        task: Task,
        dataset: DatasetVersion,
        database: Database,
        root: UPath,
        llm: Completer,
        clock: Callable[[], datetime],
        concurrency: int = 16,
        progress: EvaluationProgress | None = None,
        run_id: str | None = None,
    ) -> None:
        """Ready to evaluate; with a `run_id`, calls belong to that run and are charged to its cap as well."""
        self._task = task
        self._dataset = dataset
        self._database = database
        self._root = root
        self._llm = llm
        self._clock = clock
        self._concurrency = concurrency
        self._progress = progress
        self._run_id = run_id
        self._store = DatasetStore(root)
        self._rows: dict[Split, list[Row]] = {}
        self._answers = StoredAnswers(database, clock)

    async def evaluate(self, prompt: PromptVersion, split: Split) -> Evaluation:
        """The evaluation of `prompt` on `split`; rows answered before cost nothing.

        Raises:
            UnansweredError: a call got no answer; running it again goes on from there.
            ProviderError: the provider refuses the requests themselves.
            NotFoundError: the dataset's rows are gone.
        """
        rows = self._rows_of(split)
        label = f"{split} · {prompt.id[:8]}"
        answered = await answer_rows(
            self._llm,
            prompt,
            rows,
            self._answers,
            self._context(),
            concurrency=self._concurrency,
            progress=partial(self._progress, label) if self._progress else None,
        )
        contract = prompt.steps[-1].output
        evaluators = [build_evaluator(spec, contract) for spec in self._task.evaluators]
        examples = score_examples(rows, answered.answers, evaluators)
        return Evaluation(self._save(prompt, split, examples, answered), tuple(examples), answered)

    def _rows_of(self, split: Split) -> list[Row]:
        if split not in self._rows:
            self._rows[split] = self._store.read(self._dataset, [split])
        return self._rows[split]

    def _context(self) -> CallContext:
        own = () if self._run_id is None else (f"run:{self._run_id}",)
        return CallContext(
            purpose="evaluate",
            task=self._task.name,
            scopes=("org", "day", "month", f"task:{self._task.name}", *own),
            run_id=self._run_id,
            dataset_version_id=self._dataset.id,
            deadline_s=600.0,
        )

    def _save(
        self, prompt: PromptVersion, split: Split, examples: list[ExampleResult], answered: Answered
    ) -> EvaluationRecord:
        evaluators = [spec.model_dump(mode="json") for spec in self._task.evaluators]
        evaluation_id = content_id([prompt.id, self._dataset.id, str(split), evaluators])
        summary = summarise(examples, answered.answers)
        metric_name, metric = next(iter(summary.metrics.items()))
        path = write_examples(self._root, evaluation_id, examples)
        record = EvaluationRecord(
            id=evaluation_id,
            task=self._task.name,
            prompt_version_id=prompt.id,
            dataset_version_id=self._dataset.id,
            split=str(split),
            metric=metric_name,
            rows=summary.rows,
            score=metric.mean,
            score_low=metric.low,
            score_high=metric.high,
            summary=_as_json(summary.as_dict()),
            storage_path=path,
            created_at=self._clock(),
        )
        with self._database.session() as session:
            return evaluations.save(session, record)


def _as_json(value: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(value))
