"""The one door through which every LM call of an optimization run goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Literal, Protocol

from domain.errors import FAULTS_OF_ONE_REQUEST, ProviderError
from domain.identity import content_id
from domain.prompt import PromptVersion
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.journal import Answer, Journal
from resources.llm.types import CallContext, Completion, Request

JUDGING = "judge"
DRAWS_PER_ROLLOUT = 1_000
PROPOSAL_MAX_OUTPUT_TOKENS = 4_096


_KNOWN_IS_GIVEN: ContextVar[bool] = ContextVar("promptory_known_is_given", default=False)


def with_what_is_known(job: Callable[[], object]) -> None:
    """Do `job`, whose calls get the answers the run has even after it was halted; nothing more is asked then."""
    _KNOWN_IS_GIVEN.set(True)
    job()


class Completer(Protocol):
    """One call through the execution core, from any thread; `open_client_sync(...).complete` is one."""

    def __call__(self, request: Request, context: CallContext) -> Completion:
        """The answer.

        Raises:
            UnansweredError: there is none, and the context allows no fallback.
        """
        ...


@dataclass(frozen=True, slots=True)
class Draw:
    """Which of several answers to one request is wanted.

    Attributes:
        rollout_id: DSPy's mark of an independent attempt; it strips it from the request it hands to an engine.
        index: position within one call that asks for several answers.
    """

    rollout_id: int | None = None
    index: int = 0

    def sample(self, temperature: float) -> int | None:
        """The request's `sample`: one number per draw, so that the core may cache and share each of them.

        The plain first answer at temperature 0 has none, exactly as evaluation asks for it.
        """
        if self.rollout_id is None:
            return None if self.index == 0 and temperature == 0 else self.index
        return (self.rollout_id + 1) * DRAWS_PER_ROLLOUT + self.index


@dataclass(frozen=True, slots=True)
class TaskCall:
    """Whose prompt asks, for which row: lineage of a task predictor's call, or of a judge's about its answer."""

    prompt: PromptVersion
    row_id: str | None
    step: str
    purpose: Literal["optimize", "judge"] = "optimize"


class Watcher(Protocol):
    """Told about answers and money, from any thread."""

    def answered(self, answer: Answer, task: TaskCall | None) -> None:
        """An answer was given: of the journal or of the core, about a row or (None) to an optimizer's own predictor."""
        ...

    def paid(self, nano_usd: int) -> None:
        """A call through the core was charged this much; 0 for a cached answer."""
        ...


class RunCalls:
    """Answers the calls of one run from its journal, then from the core; after a failure it answers no more.

    Attributes:
        halted: why no more calls are answered; None while they are.
    """

    def __init__(self, completer: Completer, journal: Journal, context: CallContext, watcher: Watcher) -> None:
        self._completer = completer
        self._journal = journal
        self._context = context
        self._watcher = watcher
        self._idle = threading.Condition()
        self._active = 0
        self._room: AbstractContextManager[object] = nullcontext()
        self.halted: OptimizationHalted | None = None

    def limit(self, concurrent: int) -> None:
        """Let at most `concurrent` calls ask the core at once, whatever threads they come from."""
        self._room = threading.BoundedSemaphore(concurrent)

    def answer(self, request: Request, draw: Draw, task: TaskCall | None) -> Answer:
        """The journalled answer: `text`, `model`, `call_id`, `finish_reason`, the token counts and `cost_nano_usd`,
        which is what it cost when it was made. Where a judge's provider refused the request, `refused` says why.

        Raises:
            OptimizationHalted: there is none, or there was none for an earlier call.
        """
        with self._under_way():
            answer = self._journalled(request, draw, task)
            self._watcher.answered(answer, task)
        return answer

    def ask_ahead(self, request: Request, draws: Iterable[Draw], task: TaskCall | None) -> None:
        """Ask for draws that `answer` will be asked for next, all at once; what fails shows there."""
        for draw in draws:
            threading.Thread(target=self._ask_ahead, args=(request, draw, task), daemon=True).start()

    def _ask_ahead(self, request: Request, draw: Draw, task: TaskCall | None) -> None:
        with suppress(OptimizationHalted), self._under_way():
            self._journalled(request, draw, task)

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        if not _KNOWN_IS_GIVEN.get():
            self.check()
        with self._idle:
            self._active += 1
        try:
            yield
        except BaseException as error:
            self.halt(error)
            if isinstance(error, Exception):
                raise OptimizationHalted("failed", error) from error
            raise
        finally:
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def _journalled(self, request: Request, draw: Draw, task: TaskCall | None) -> Answer:
        sampled = replace(request, sample=draw.sample(request.temperature))
        return self._journal.answer(_key(sampled, draw), lambda: self._ask(sampled, task))

    def halt(self, error: BaseException) -> None:
        """Answer no more calls; the first error is the one that is kept."""
        with self._idle:
            if self.halted is None:
                halted = isinstance(error, OptimizationHalted)
                self.halted = error if halted else OptimizationHalted("failed", error)

    def check(self) -> None:
        """Refuse to go on after a failure, also one that an optimizer swallowed.

        Raises:
            OptimizationHalted: there was one.
        """
        if self.halted is not None:
            raise OptimizationHalted(self.halted.reason, self.halted.cause) from self.halted.cause

    def drain(self) -> None:
        """Wait for the calls under way: optimizers leave their threads behind when they are unwound."""
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0)

    def _ask(self, request: Request, task: TaskCall | None) -> Answer:
        if self._journal.stop_reason is not None:
            raise OptimizationHalted(self._journal.stop_reason)
        with self._seat():
            try:
                completion = self._completer(request, self._context_of(task))
            except ProviderError as error:
                if task is None or task.purpose != JUDGING or error.fault not in FAULTS_OF_ONE_REQUEST:
                    raise
                return _refusal(request, error)
        self._watcher.paid(completion.cost_nano_usd)
        return {
            "text": _valid_text(completion.text),
            "model": completion.model,
            "call_id": completion.call_id,
            "finish_reason": completion.finish_reason,
            "input_tokens": completion.usage.input_tokens,
            "output_tokens": completion.usage.output_tokens,
            "cost_nano_usd": completion.origin_cost_nano_usd,
        }

    @contextmanager
    def _seat(self) -> Iterator[None]:
        """Room for one call. One that fails halts the run before another thread that waits for its room gets it."""
        with self._room:
            self.check()
            try:
                yield
            except BaseException as error:
                self.halt(error)
                raise

    def _context_of(self, task: TaskCall | None) -> CallContext:
        if task is None:
            return self._context
        self._journal.keep_prompt(task.prompt)
        family = JUDGING if task.purpose == JUDGING else self._context.prompt_family
        return replace(
            self._context,
            purpose=task.purpose,
            prompt_family=family,
            prompt_version_id=task.prompt.id,
            row_id=task.row_id,
            step=task.step,
        )


def _refusal(request: Request, error: ProviderError) -> Answer:
    """What is kept of a request the provider refused: asked again, it would refuse again."""
    return {
        "text": "",
        "refused": error.problem,
        "model": request.model,
        "call_id": "",
        "finish_reason": "refusal",
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_nano_usd": 0,
    }


def _key(request: Request, draw: Draw) -> str:
    content = {field.name: getattr(request, field.name) for field in fields(request) if field.name != "sample"}
    return content_id({"request": content, "rollout_id": draw.rollout_id, "index": draw.index})


def _valid_text(text: str) -> str:
    """Half a surrogate pair (some providers escape one) can be neither sent on in a demonstration nor stored."""
    return text.encode("utf-8", "replace").decode("utf-8")
