"""One optimization run, from a prompt version to the best one found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.dataset import Row
from domain.errors import UnansweredError
from domain.evaluators.score import Evaluator
from domain.optimization import LabeledFewShotSpec, OptimizerSpec
from domain.prompt import PromptVersion
from resources.dspy_runtime.calls import Completer, RunCalls
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.journal import Journal, JournalStore
from resources.dspy_runtime.material import Material
from resources.dspy_runtime.progress import Progress, ProgressReport
from resources.dspy_runtime.references import reference_draws
from resources.dspy_runtime.results import CandidateResult, OptimizationResult, candidate_kind
from resources.dspy_runtime.scoreboard import ScoreBoard
from resources.llm.types import CallContext

RUN_BUDGET = "run_budget"


def optimize(
    prompt: PromptVersion,
    train: Sequence[Row],
    dev: Sequence[Row],
    spec: OptimizerSpec,
    evaluator: Evaluator,
    completer: Completer,
    journal: JournalStore,
    *,
    run_id: str,
    task: str,
    dataset_version_id: str,
    scopes: tuple[str, ...],
    run_budget_left: Callable[[], bool],
    progress: Progress | None = None,
) -> OptimizationResult:
    """Run an optimizer; run again with the same arguments after a kill, it goes on and ends the same.

    Every LM answer is kept in the journal before it is used, so that nothing paid for is paid for again. `threads`
    never changes the result.

    Args:
        evaluator: the metric, the one an evaluation would use.
        completer: one call through the execution core, from any thread, e.g. `open_client_sync(...).complete`.
        scopes: budget scopes charged besides `run:<run_id>`.
        run_budget_left: asked after a call was refused for lack of budget: may this run's own cap still admit one?
            If not, the run ends here for good, with the best candidate so far.
        progress: told (answers, candidates, best score) after every answer, by one thread at a time.

    Raises:
        InputError: the rows, the templates or the optimizer do not fit together.
        UnansweredError: a call got no answer for another reason; the run is paused and may be run again.
        OutputParseError: the model that writes instructions keeps to no format.
    """
    material = Material.checked(prompt, train, dev, spec, evaluator)
    report = ProgressReport(progress)
    board = ScoreBoard(len(material.dev), report.candidate_finished)
    report.watch(board)
    book = Journal(journal, run_id)
    context = CallContext(
        purpose="optimize",
        task=task,
        scopes=tuple(dict.fromkeys((*scopes, f"run:{run_id}"))),
        dataset_version_id=dataset_version_id,
        run_id=run_id,
        allow_fallback=False,
    )
    calls = RunCalls(completer, book, context, report.answered)
    chosen: PromptVersion | None = None
    stop_reason: str | None = None
    try:
        chosen = _compile(material, calls, board)
    except OptimizationHalted as halt:
        stop_reason = _stop_reason(halt, book, run_budget_left)
        if stop_reason is None:
            raise halt.cause or halt from None
    return _result(material, board, chosen, stop_reason, report.calls)


def _compile(material: Material, calls: RunCalls, board: ScoreBoard) -> PromptVersion:
    from resources.dspy_runtime.compiling import compile_prompt

    try:
        chosen = compile_prompt(material, calls, board)
    except BaseException as error:
        calls.halt(error)
        raise
    finally:
        calls.drain()
    return chosen


def _stop_reason(halt: OptimizationHalted, book: Journal, run_budget_left: Callable[[], bool]) -> str | None:
    """Why the run ends here for good, on record; None when it is merely interrupted."""
    if halt.reason == RUN_BUDGET:
        return RUN_BUDGET
    refused = isinstance(halt.cause, UnansweredError) and halt.cause.reason == "budget_exhausted"
    if not refused or run_budget_left():
        return None
    book.record_stop(RUN_BUDGET)
    return RUN_BUDGET


def _result(
    material: Material, board: ScoreBoard, chosen: PromptVersion | None, stop_reason: str | None, calls: int
) -> OptimizationResult:
    prompt, spec, winner = material.prompt, material.spec, board.best
    scores: dict[str, float | None] = {candidate.prompt.id: candidate.dev_score for candidate in board.candidates}
    tried = [candidate.prompt for candidate in board.candidates]
    best = winner.prompt if winner else prompt
    if isinstance(spec, LabeledFewShotSpec) and chosen is not None:
        best = chosen
        tried.append(chosen)
    shown = len(best.steps[-1].demonstrations)
    return OptimizationResult(
        best=best,
        best_dev_score=scores.get(best.id),
        baseline_dev_score=scores.get(prompt.id),
        candidates=tuple(CandidateResult(one, scores.get(one.id), candidate_kind(prompt, one)) for one in tried),
        references=reference_draws(prompt, material.train, shown, draws=spec.reference_draws, seed=spec.seed),
        stop_reason=stop_reason,
        calls=calls,
        dev_rows=len(material.dev),
    )
