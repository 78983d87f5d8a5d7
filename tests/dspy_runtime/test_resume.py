"""A run killed anywhere and run again pays at most for what was under way, and ends in the same prompt version."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from dspy_runtime.killable_run import SPEC, run_billed
from dspy_runtime.scripted import SEARCHES, THREADS, MemoryJournal, ScriptedModel, run, ticket_prompt

from domain.optimization import OptimizerSpec
from resources.database import schema
from resources.database.session import open_database
from resources.llm.types import CallContext, Completion, Request

ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """The process ends here."""


class Mortal(ScriptedModel):
    """Dies with its n-th call, after the provider has billed it."""

    def __init__(self, dies_at: int) -> None:
        super().__init__()
        self._dies_at = dies_at

    def __call__(self, request: Request, context: CallContext) -> Completion:
        answer = super().__call__(request, context)
        if len(self.requests) >= self._dies_at:
            raise Killed
        return answer


@pytest.mark.parametrize(
    ("spec", "temperature"), [*((spec, 0.8) for spec in SEARCHES), (SEARCHES[1], 0.0), (SEARCHES[3], 0.0)], ids=str
)
def test_killed_again_and_again(spec: OptimizerSpec, temperature: float) -> None:
    prompt = ticket_prompt(temperature)
    whole = ScriptedModel()
    uninterrupted = run(spec, whole, prompt=prompt)
    journal = MemoryJournal()
    billed, kills = 0, 0
    for dies_at in (1, 2, 5, 9, 12, 47):
        model = Mortal(dies_at)
        try:
            resumed = run(spec, model, journal, prompt=prompt)
        except Killed:
            kills += 1
        billed += len(model.requests)
    last = ScriptedModel()
    resumed = run(spec, last, journal, prompt=prompt)
    billed += len(last.requests)
    assert kills >= 5
    assert resumed.best.id == uninterrupted.best.id
    assert [one.prompt.id for one in resumed.candidates] == [one.prompt.id for one in uninterrupted.candidates]
    assert [one.id for one in resumed.references] == [one.id for one in uninterrupted.references]
    assert len(whole.requests) <= billed <= len(whole.requests) + kills * THREADS


def test_sigkill(tmp_path: Path) -> None:
    whole = ScriptedModel()
    uninterrupted = run(SPEC, whole)
    database, invoice = tmp_path / "promptory.db", tmp_path / "invoice"
    invoice.touch()
    opened = open_database(f"sqlite:///{database}")
    schema.upgrade(opened)
    opened.dispose()

    script = Path(__file__).with_name("killable_run.py")
    calls = int(0.6 * len(whole.requests))
    process = subprocess.Popen(
        [sys.executable, str(script), str(database), str(invoice), str(calls)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "HOME": str(tmp_path), "PATH": ""},
    )
    deadline = time.monotonic() + 60
    while lines(invoice) <= calls:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    before = lines(invoice)
    assert 0 < before < len(whole.requests)

    resumed = run_billed(database, invoice)
    assert resumed.best.id == uninterrupted.best.id
    assert lines(invoice) <= len(whole.requests) + THREADS
    assert run_billed(database, invoice).best.id == uninterrupted.best.id
    assert lines(invoice) <= len(whole.requests) + THREADS, "a finished run costs nothing to run again"


def test_a_run_is_resumable_while_others_go_on() -> None:
    """Two runs in one process share nothing but DSPy."""
    results: dict[int, str] = {}

    def work(seed: int) -> None:
        results[seed] = run(SPEC.model_copy(update={"seed": seed}), ScriptedModel()).best.id

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {seed: run(SPEC.model_copy(update={"seed": seed}), ScriptedModel()).best.id for seed in (0, 1)}


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")
