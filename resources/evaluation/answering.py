"""Answers many rows: concurrent, resumable, nothing paid for twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from domain.dataset import Row
from domain.prompt import PromptVersion
from resources.evaluation.answers import Answer, AnswerStore
from resources.evaluation.durable_writing import work_through, writing
from resources.evaluation.effort import Effort
from resources.evaluation.prompt_runner import Completer, PromptRunner
from resources.llm.types import CallContext

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Answered:
    """All rows' answers by input id, and what making them took."""

    answers: dict[str, Answer]
    effort: Effort = field(default_factory=Effort)


async def answer_rows(
    llm: Completer,
    prompt: PromptVersion,
    rows: Sequence[Row],
    store: AnswerStore,
    context: CallContext,
    *,
    concurrency: int = 16,
    progress: Progress | None = None,
    sample: int = 0,
) -> Answered:
    """The answers of `prompt` to `rows`; those the store holds are taken from it.

    A row's answer is durable before the next row is taken up in its place, so that a killed run repeats at most as many
    rows as were in flight, with or without the response cache.

    Raises:
        UnansweredError: a call got no answer; what was answered is kept, and the next run goes on from there.
        ProviderError: the provider refuses the request itself.
        TemplateError: a row does not fill a template.
    """
    stored = store.get_many(prompt.id, [row.input_id for row in rows], sample)
    result = Answered(dict(stored), Effort(reused=len(stored)))
    missing = {row.input_id: row for row in rows if row.input_id not in stored}
    runner = PromptRunner(llm, prompt, context, sample or None)

    async with writing(partial(store.put_many, prompt.id, sample)) as writer:

        async def answer(row: Row) -> None:
            given, completions = await runner.run(row)
            result.answers[row.input_id] = given
            result.effort.count(completions)
            await writer.write(given)
            if progress:
                progress(len(result.answers), len(stored) + len(missing))

        await work_through(missing.values(), answer, min(concurrency, len(missing)))
    return result
