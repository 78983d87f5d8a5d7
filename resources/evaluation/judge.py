"""Asks a judge about many answers: concurrent, resumable, nothing paid for twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from domain.dataset import Row
from domain.errors import FAULTS_OF_ONE_REQUEST, ProviderError
from domain.identity import content_id
from domain.prompt import PromptVersion
from domain.rendering import StepRenderer
from resources.database.repositories.judgements import JudgementRecord
from resources.evaluation.durable_writing import work_through, writing
from resources.evaluation.effort import Effort
from resources.evaluation.prompt_runner import Completer
from resources.evaluation.stored_judgements import StoredJudgements
from resources.llm.prompt_request import build_request
from resources.llm.types import CallContext, Completion

PURPOSE = "judge"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a judge is shown: the fields of its template, and whose row they are of.

    Attributes:
        prompt_version_id: whose answer it is; None for an answer that the dataset holds.
    """

    row: Row
    fields: Mapping[str, str]
    prompt_version_id: str | None

    @property
    def id(self) -> str:
        """SHA-256 of the fields: what was shown once is not judged again, whoever answered it."""
        return content_id(dict(self.fields))


@dataclass(slots=True)
class Judged:
    """Judgements by (subject id, sample), refusals of the provider by the same, and what all this took."""

    judgements: dict[tuple[str, int], JudgementRecord]
    refused: dict[tuple[str, int], str] = field(default_factory=dict)
    effort: Effort = field(default_factory=Effort)


class Judge:
    """One judge prompt for any number of subjects. Its calls get no fallback: none may count as a judgement."""

    def __init__(
        self,
        llm: Completer,
        store: StoredJudgements,
        context: CallContext,
        clock: Callable[[], datetime],
        *,
        concurrency: int = 16,
    ) -> None:
        """Prepare to judge.

        Args:
            context: of the evaluation: its task, dataset version and scopes; purpose and family become the judge's.
        """
        self._llm = llm
        self._store = store
        self._context = replace(context, purpose=PURPOSE, prompt_family=PURPOSE, allow_fallback=False)
        self._clock = clock
        self._concurrency = concurrency

    async def judge(
        self,
        prompt: PromptVersion,
        subjects: Iterable[Subject],
        *,
        name: str,
        samples: int = 1,
        progress: Progress | None = None,
    ) -> Judged:
        """`samples` judgements of each subject by the judge `prompt`; those the store holds are taken from it.

        A judgement is durable before the next one is asked for in its place, readable or not.

        Raises:
            UnansweredError: a call got no answer; what was judged is kept, and the next run goes on from there.
            ProviderError: the provider refuses the judge's requests whatever their row, e.g. its key.
        """
        by_id = {subject.id: subject for subject in subjects}
        stored = self._store.get_many(prompt.id, by_id, samples)
        result = Judged(dict(stored), effort=Effort(reused=len(stored)))
        wanted = ((subject_id, sample) for sample in range(samples) for subject_id in by_id)
        missing = [key for key in wanted if key not in stored]
        step = prompt.steps[0]
        renderer = StepRenderer(step)
        # At temperature 0 there is one draw, which an optimizer may have made a moment ago.
        drawn = prompt.parameters.temperature > 0

        async with writing(self._store.put_many) as writer:

            async def ask(key: tuple[str, int]) -> None:
                subject = by_id[key[0]]
                request = build_request(prompt, renderer.render(subject.fields), sample=key[1] if drawn else None)
                try:
                    completion = await self._llm.complete(request, self._context_of(subject, name))
                except ProviderError as error:
                    if error.fault not in FAULTS_OF_ONE_REQUEST:
                        raise
                    result.refused[key] = error.problem
                else:
                    result.effort.count([completion])
                    result.judgements[key] = self._record(prompt.id, key, subject, completion)
                    await writer.write(result.judgements[key])
                if progress:
                    progress(len(result.judgements) + len(result.refused), len(by_id) * samples)

            await work_through(missing, ask, min(self._concurrency, len(missing)))
        return result

    def _context_of(self, subject: Subject, name: str) -> CallContext:
        return replace(
            self._context,
            prompt_version_id=subject.prompt_version_id,
            step=f"judge:{name}",
            row_id=subject.row.row_id,
        )

    def _record(self, judge_id: str, key: tuple[str, int], subject: Subject, completion: Completion) -> JudgementRecord:
        return JudgementRecord(
            judge_id=judge_id,
            subject_id=key[0],
            sample=key[1],
            task=self._context.task or "",
            prompt_version_id=subject.prompt_version_id,
            input_id=subject.row.input_id,
            text=completion.text,
            call_id=completion.call_id,
            model=completion.model,
            cost_nano_usd=completion.origin_cost_nano_usd,
            latency_s=completion.origin_latency_s,
            input_tokens=completion.usage.input_tokens,
            output_tokens=completion.usage.output_tokens,
            created_at=self._clock(),
        )
