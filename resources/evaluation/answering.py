"""Answers many rows: concurrent, resumable, nothing paid for twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.dataset import Row
from domain.prompt import PromptVersion
from resources.evaluation.answers import Answer, AnswerStore
from resources.evaluation.prompt_runner import Completer, PromptRunner
from resources.llm.types import CallContext

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Answered:
    """All rows' answers by input id; `reused` rows had a stored one."""

    answers: dict[str, Answer]
    reused: int = 0


async def answer_rows(
    llm: Completer,
    prompt: PromptVersion,
    rows: Sequence[Row],
    store: AnswerStore,
    context: CallContext,
    *,
    concurrency: int = 16,
    progress: Progress | None = None,
) -> Answered:
    """The answers of `prompt` to `rows`; those the store holds are taken from it.

    A row's answer is durable before the next row is taken up in its place, so that a killed run repeats at most as many
    rows as were in flight, with or without the response cache.

    Raises:
        UnansweredError: a call got no answer; what was answered is kept, and the next run goes on from there.
        ProviderError: the provider refuses the request itself.
        TemplateError: a row does not fill a template.
    """
    stored = store.get_many(prompt.id, [row.input_id for row in rows], 0)
    result = Answered(answers=dict(stored), reused=len(stored))
    missing = {row.input_id: row for row in rows if row.input_id not in stored}
    writer = _AnswerWriter(store, prompt.id)
    runner = PromptRunner(llm, prompt, context)
    queue = iter(missing.values())

    async def work() -> None:
        for row in queue:
            answer, _ = await runner.run(row)
            result.answers[row.input_id] = answer
            await writer.write(answer)
            if progress:
                progress(len(result.answers), len(stored) + len(missing))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(missing))):
                group.create_task(work())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    finally:
        writer.flush()
    return result


class _AnswerWriter:
    """Writes answers before anybody goes on; those of one turn of the event loop share a transaction."""

    def __init__(self, store: AnswerStore, prompt_version_id: str) -> None:
        self._store = store
        self._prompt_version_id = prompt_version_id
        self._pending: list[Answer] = []
        self._written: asyncio.Future[None] | None = None

    async def write(self, answer: Answer) -> None:
        """Return once `answer` is durable."""
        self._pending.append(answer)
        if self._written is None:
            loop = asyncio.get_running_loop()
            self._written = loop.create_future()
            loop.call_soon(self.flush)
        await asyncio.shield(self._written)

    def flush(self) -> None:
        """Write what is pending and let those who wait for it go on."""
        pending, self._pending = self._pending, []
        written, self._written = self._written, None
        try:
            if pending:
                self._store.put_many(self._prompt_version_id, 0, pending)
        except Exception as error:
            if written is None:
                raise
            written.set_exception(error)
            return
        if written is not None:
            written.set_result(None)
