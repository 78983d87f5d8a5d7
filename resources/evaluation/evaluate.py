"""One evaluation: a prompt version on a split, answered, scored, summed up and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from upath import UPath

from domain.contracts import OutputContract
from domain.dataset import DatasetVersion, Row, Split
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_prompt import comparing_prompt
from domain.evaluators.judge_spec import JudgeSpec, PairwiseJudgeSpec
from domain.evaluators.row_score import RowScore
from domain.evaluators.specs import AskingSpec, EvaluatorSpec
from domain.identity import content_id
from domain.prompt import PromptVersion
from domain.scored_pairs import EvaluatedArm
from domain.task import Task
from resources.database.repositories import evaluations
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.session import Database
from resources.evaluation.answering import answer_rows
from resources.evaluation.answers import Answer
from resources.evaluation.calibration import calibrate
from resources.evaluation.effort import Effort
from resources.evaluation.evaluators import OpenedEvaluator, evaluator_identity, open_evaluator
from resources.evaluation.example_files import write_examples
from resources.evaluation.grading import grade_rows
from resources.evaluation.judge import Judge
from resources.evaluation.preferences import Preferences, Side, prefer, write_preferences
from resources.evaluation.prompt_runner import Completer
from resources.evaluation.results import ExampleResult, contract_problem, make_examples
from resources.evaluation.scoring import score_rows
from resources.evaluation.similarity import compare_rows
from resources.evaluation.stored_answers import StoredAnswers
from resources.evaluation.stored_judgements import StoredJudgements
from resources.evaluation.summary import summarise
from resources.lineage.demonstrations import rows_shown
from resources.llm.types import CallContext
from resources.storage.datasets import DatasetStore

EvaluationProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation with its examples, ordered by input id, and what this run took."""

    record: EvaluationRecord
    examples: tuple[ExampleResult, ...]
    effort: Effort

    def arm(self) -> EvaluatedArm:
        """The examples as the gate takes them."""
        return EvaluatedArm(
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
        evaluators: Sequence[EvaluatorSpec] | None = None,
        concurrency: int = 16,
        progress: EvaluationProgress | None = None,
        run_id: str | None = None,
        sample: int = 0,
        purpose: str = "evaluate",
        recorded: bool = True,
    ) -> None:
        """Prepare to evaluate.

        Args:
            evaluators: instead of all the task's, the first is the metric. Such an evaluation is not put on record:
                its figures would stand beside those of the task's metric as if they were the same.
            progress: told a stage's name, how many rows are done and of how many.
            run_id: calls belong to that run and are charged to its cap as well.
            sample: another than 0 asks afresh, for answers that are kept by that number.
            purpose: what the ledger says the answers were for.
            recorded: whether evaluations are put on record beside the task's others.
        """
        self._task = task
        self._dataset = dataset
        self._database = database
        self._root = root
        self._llm = llm
        self._clock = clock
        self._concurrency = concurrency
        self._progress = progress
        self._run_id = run_id
        self._sample = sample
        self._purpose = purpose
        self._store = DatasetStore(root)
        self._rows: dict[Split, list[Row]] = {}
        self._answers = StoredAnswers(database, clock)
        self._evaluators = tuple(task.evaluators if evaluators is None else evaluators)
        self._recorded = recorded and evaluators is None
        self._judge = Judge(llm, StoredJudgements(database), self._context(), clock, concurrency=concurrency)

    @property
    def sample(self) -> int:
        """Which draw of answers it evaluates; 0 for those that are kept for everyone."""
        return self._sample

    def rows(self, split: Split) -> int:
        """How many rows `split` has."""
        return len(self._rows_of(split))

    def kept(self, prompt: PromptVersion, split: Split) -> frozenset[str]:
        """Input ids of the rows of `split` that `prompt` has answered in this draw: they cost nothing again."""
        ids = [row.input_id for row in self._rows_of(split)]
        return frozenset(self._answers.get_many(prompt.id, ids, self._sample))

    async def evaluate(self, prompt: PromptVersion, split: Split, only: frozenset[str] | None = None) -> Evaluation:
        """The evaluation of `prompt` on `split`; rows answered before cost nothing.

        Args:
            only: input ids of the rows to evaluate; all where it is left out. One of some rows is not put on record.

        Raises:
            UnansweredError: a call got no answer; running it again goes on from there.
            ProviderError: the provider refuses the requests themselves.
            EvaluatorError: the metric could score no row at all.
            InputError: an evaluator's function cannot be imported.
            NotFoundError: the dataset's rows are gone.
        """
        rows = [row for row in self._rows_of(split) if only is None or row.input_id in only]
        label = f"{split} · {prompt.id[:8]}"
        opened = self._open(prompt.steps[-1].output)  # before anything is paid for
        answered = await answer_rows(
            self._llm,
            prompt,
            rows,
            self._answers,
            self._context(),
            concurrency=self._concurrency,
            progress=self._shown(label),
            sample=self._sample,
        )
        contract, answers = prompt.steps[-1].output, answered.answers
        problems = {row.input_id: contract_problem(contract, answers[row.input_id]) for row in rows}
        scores, judged = await self._scores(opened, prompt, rows, answers, problems, label)
        calibration, calibrated = await self._calibration(split)
        examples = make_examples(rows, answers, problems, scores)
        identities = [
            one.identity if isinstance(one, OpenedEvaluator) else evaluator_identity(one) for one in opened.values()
        ]
        record = self._save(prompt, split, examples, calibration, identities)
        return Evaluation(record, tuple(examples), Effort.total([answered.effort, judged, calibrated]))

    def rows_demonstrated(self, prompt: PromptVersion, split: Split) -> int:
        """How many rows of `split` the prompt's demonstrations show, by their text.

        A later step may read one field of a row, such as its language: what rows of the other splits have too, the
        prompt knows from these.

        Raises:
            NotFoundError: the dataset's rows are gone.
        """
        shown = rows_shown(prompt, self._rows_of(split))
        if not any(own.alike for own in shown):
            return 0
        others = [row for other in Split if other is not split for row in self._rows_of(other)]
        both = zip(shown, rows_shown(prompt, others), strict=True)
        return len({own.row_id or own for own, other in both if own.alike and not other.alike})

    def _open(self, contract: OutputContract) -> dict[str, AskingSpec | OpenedEvaluator]:
        """Every evaluator by its name, the metric first; those that ask a model need no opening."""
        return {
            spec.score_name: spec if isinstance(spec, AskingSpec) else open_evaluator(spec, contract)
            for spec in self._evaluators
        }

    async def _scores(
        self,
        opened: dict[str, AskingSpec | OpenedEvaluator],
        prompt: PromptVersion,
        rows: list[Row],
        answers: dict[str, Answer],
        problems: dict[str, str | None],
        label: str,
    ) -> tuple[dict[str, dict[str, RowScore]], Effort]:
        """Every evaluator's scores by input id, and what asking models for them took."""
        scores: dict[str, dict[str, RowScore]] = {}
        total = Effort()
        for name, one in opened.items():
            progress = self._shown(f"{label} · {name}")
            match one:
                case JudgeSpec():
                    asked = grade_rows(self._judge, one, prompt, rows, answers, problems, progress)
                case EmbeddingSimilaritySpec():
                    asked = compare_rows(self._judge, one, prompt, rows, answers, problems, progress)
                case OpenedEvaluator():
                    # In a thread: a slow function must not keep the core from telling others that it is alive.
                    scores[name] = await asyncio.to_thread(score_rows, one.evaluator, rows, answers)
                    continue
            scores[name], effort = await asked
            total = Effort.total([total, effort])
        return scores, total

    async def prefer(
        self, spec: PairwiseJudgeSpec, split: Split, candidate: Side, production: Side
    ) -> tuple[Preferences, str]:
        """Which of two prompts' answers on `split` a judge prefers, row by row, and where the rows are stored.

        Raises:
            UnansweredError, ProviderError: as `evaluate`.
        """
        rows = self._rows_of(split)
        progress = self._shown(f"{split} · in pairs")
        found = await prefer(self._judge, spec, rows, candidate, production, progress)
        judge_id = comparing_prompt(spec).id
        content: list[Any] = [judge_id, candidate.prompt.id, production.prompt.id, self._dataset.id, str(split)]
        return found, write_preferences(self._root, content_id([*content, *self._drawn()]), rows, found)

    def _drawn(self) -> list[dict[str, int]]:
        return [{"sample": self._sample}] if self._sample else []

    async def _calibration(self, split: Split) -> tuple[dict[str, dict[str, Any]], Effort]:
        """Each judge against people, on `dev` only: what people thought of `test` rows is nobody's to look at."""
        found: dict[str, dict[str, Any]] = {}
        total = Effort()
        for spec in self._evaluators:
            if split is Split.DEV and isinstance(spec, JudgeSpec) and spec.calibration is not None:
                progress = self._shown(f"{split} · {spec.name} · calibration")
                found[spec.name], effort = await calibrate(
                    self._judge, spec, spec.calibration, self._rows_of(split), progress
                )
                total = Effort.total([total, effort])
        return found, total

    def _shown(self, label: str) -> Callable[[int, int], None] | None:
        return partial(self._progress, label) if self._progress else None

    def _rows_of(self, split: Split) -> list[Row]:
        if split not in self._rows:
            self._rows[split] = self._store.read(self._dataset, [split])
        return self._rows[split]

    def _context(self) -> CallContext:
        own = () if self._run_id is None else (f"run:{self._run_id}",)
        return CallContext(
            purpose=self._purpose,
            task=self._task.name,
            scopes=("org", "day", "month", f"task:{self._task.name}", *own),
            run_id=self._run_id,
            dataset_version_id=self._dataset.id,
            deadline_s=600.0,
        )

    def _save(
        self,
        prompt: PromptVersion,
        split: Split,
        examples: list[ExampleResult],
        calibration: dict[str, dict[str, Any]],
        identities: list[dict[str, Any]],
    ) -> EvaluationRecord:
        summary = summarise(examples, calibration)
        metric = summary.metrics[examples[0].metric]
        evaluation_id = self._id(prompt, split, examples, identities)
        recorded = self._recorded and len(examples) == self.rows(split)
        if recorded:
            with self._database.session(read_only=True) as session:
                evaluation_id = evaluations.id_for(session, evaluation_id, self._task.name)
        record = EvaluationRecord(
            id=evaluation_id,
            task=self._task.name,
            prompt_version_id=prompt.id,
            dataset_version_id=self._dataset.id,
            split=str(split),
            metric=examples[0].metric,
            rows=summary.rows,
            score=metric.mean or 0.0,
            score_low=metric.low or 0.0,
            score_high=metric.high or 0.0,
            summary={**summary.as_dict(), "scored_by": content_id(identities[0]), "sample": self._sample},
            storage_path=write_examples(self._root, evaluation_id, examples),
            created_at=self._clock(),
        )
        if not recorded:
            return record
        with self._database.session() as session:
            return evaluations.save(session, record)

    def _id(
        self, prompt: PromptVersion, split: Split, examples: list[ExampleResult], identities: list[dict[str, Any]]
    ) -> str:
        """One with rows that could not be scored is another than the complete one that may follow it."""
        unscored = [
            [name, example.input_id]
            for example in examples
            for name, score in example.scores.items()
            if score.value is None or score.failed_judgements
        ]
        content: list[Any] = [prompt.id, self._dataset.id, str(split), identities, *self._drawn()]
        if len(examples) < self.rows(split):
            content.append({"rows": [example.input_id for example in examples]})
        return content_id([*content, unscored] if unscored else content)
