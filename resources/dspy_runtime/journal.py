"""The journal of a run: every LM answer it got, so that a run killed and run again gets them again for nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from domain.prompt import PromptVersion

STOP_KEY = "stop"
PROMPT_KEY = "prompt:"
KEY_LENGTH = 64  # of the column; what an id loses by that is not missed
Answer = dict[str, Any]


def prompt_key(version_id: str) -> str:
    """Where the journal of a run keeps a prompt version that it asked."""
    return f"{PROMPT_KEY}{version_id}"[:KEY_LENGTH]


class JournalStore(Protocol):
    """Keeps a run's answers by key. Safe to call from several threads."""

    def load_all(self, run_id: str) -> dict[str, Answer]:
        """Every answer of the run, by key."""
        ...

    def put(self, run_id: str, key: str, answer: Answer) -> None:
        """Keep an answer; durable when this returns. A key that exists keeps its first answer."""
        ...


class Journal:
    """One run's answers: each key is asked for once, whatever the number of threads, restarts and repetitions.

    Two threads that ask for the same key share one call. Without this, sampling above temperature 0 would make the
    result depend on which of them came first.
    """

    def __init__(self, store: JournalStore, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._answers = store.load_all(run_id)
        self._stop = self._answers.pop(STOP_KEY, None)
        self._prompts = {key for key in self._answers if key.startswith(PROMPT_KEY)}
        for key in self._prompts:
            del self._answers[key]
        self._flights: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()

    @property
    def stop_reason(self) -> str | None:
        """Why the run was cut short for good, if it was."""
        return self._stop["reason"] if self._stop else None

    def record_stop(self, reason: str) -> None:
        """Cut the run short for good: run again, it gets no answer beyond those it has."""
        self._stop = {"reason": reason}
        self._store.put(self._run_id, STOP_KEY, self._stop)

    def keep_prompt(self, prompt: PromptVersion) -> None:
        """Keep the text of a prompt before it is first asked, so that its calls lead to it: most are never registered.

        Raises:
            DatabaseUnavailableError: it cannot be written.
        """
        key = prompt_key(prompt.id)
        with self._lock:
            if key in self._prompts:
                return
            self._prompts.add(key)
        self._store.put(self._run_id, key, prompt.content())

    def answer(self, key: str, ask: Callable[[], Answer]) -> Answer:
        """The answer under `key`; the first to want it asks, and keeps it before anybody sees it.

        Raises:
            BaseException: what `ask` or the store raised, to everybody who waits for this key.
        """
        with self._lock:
            known = self._answers.get(key)
            if known is not None:
                return known
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        return self._lead(key, ask, flight) if leads else flight.result()

    def _lead(self, key: str, ask: Callable[[], Answer], flight: Future[Answer]) -> Answer:
        try:
            answer = ask()
            self._store.put(self._run_id, key, answer)
        except BaseException as error:
            with self._lock:
                del self._flights[key]
            flight.set_exception(error)
            raise
        with self._lock:
            self._answers[key] = answer
            del self._flights[key]
        flight.set_result(answer)
        return answer
