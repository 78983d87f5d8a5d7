"""One optimization run, from a prompt version to the best one found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from domain.dataset import Row
from domain.errors import UnansweredError
from domain.evaluators.score import Evaluator
from domain.evaluators.specs import AskingSpec
from domain.optimization import LabeledFewShotSpec, OptimizerSpec
from domain.prompt import PromptVersion
from domain.statistics.intervals import mean_interval
from resources.dspy_runtime.calls import Completer, RunCalls
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.journal import Journal, JournalStore
from resources.dspy_runtime.material import Material
from resources.dspy_runtime.progress import Progress, ProgressReport
from resources.dspy_runtime.references import reference_draws
from resources.dspy_runtime.results import CandidateResult, OptimizationResult, candidate_kind
from resources.dspy_runtime.scoreboard import ScoreBoard, ScoredCandidate
from resources.llm.types import CallContext

RUN_BUDGET = "run_budget"


def optimize(
    prompt: PromptVersion,
    train: Sequence[Row],
    dev: Sequence[Row],
    spec: OptimizerSpec,
    evaluator: Evaluator | AskingSpec,
    completer: Completer,
    journal: JournalStore,
    *,
    run_id: str,
    task: str,
    dataset_version_id: str,
    scopes: tuple[str, ...],
    run_budget_left: Callable[[], bool],
    spent_before_nano_usd: int = 0,
    progress: Progress | None = None,
    tell: Callable[[OptimizationResult], None] = lambda _so_far: None,
) -> OptimizationResult:
    """Run an optimizer; run again with the same arguments after a kill, it goes on and ends the same.

    Every LM answer is kept in the journal before it is used, so that nothing paid for is paid for again. `threads`
    never changes the result.

    Args:
        evaluator: the metric, the one an evaluation would use; where it asks a model, these calls are the run's, too.
        completer: one call through the execution core, from any thread, e.g. `open_client_sync(...).complete`.
        scopes: budget scopes charged besides `run:<run_id>`.
        run_budget_left: asked after a call was refused for lack of budget: may this run's own cap still admit one?
            If not, the run ends here for good, with the best candidate so far.
        spent_before_nano_usd: what the scope `run:<run_id>` was charged before, for `progress`.
        progress: told where the run stands after every answer, by one thread at a time.
        tell: told how far the run came when it does not end here but is to be run again, whatever stopped it: a
            refused call, a signal or an error. Then that is raised.

    Raises:
        InputError: the rows, the templates or the optimizer do not fit together.
        EvaluatorError: the evaluator failed on a row, or the model it asks gave no score; the run is paused.
        UnansweredError: a call got no answer for another reason; the run is paused and may be run again.
        OutputParseError: the model that writes instructions keeps to no format.
    """
    material = Material.checked(prompt, train, dev, spec, evaluator)
    report = ProgressReport(progress, spent_before_nano_usd)
    board = ScoreBoard([row.row_id for row in material.dev], report.candidate_finished)
    report.watch(board)
    book = Journal(journal, run_id)
    calls = RunCalls(completer, book, _context(run_id, task, dataset_version_id, scopes), report)
    chosen: PromptVersion | None = None
    stop_reason: str | None = None
    try:
        chosen = _compile(material, calls, board)
    except OptimizationHalted as halt:
        stop_reason = _stop_reason(halt, book, run_budget_left)
        if stop_reason is None:
            tell(_so_far(material, board, report.calls))
            raise halt.cause or halt from None
    except BaseException:
        tell(_so_far(material, board, report.calls))
        raise
    result = _so_far(material, board, report.calls, chosen)
    shown, spec = len(result.best.steps[-1].demonstrations), material.spec
    references = reference_draws(prompt, material.train, shown, draws=spec.reference_draws, seed=spec.seed)
    return replace(result, references=references, stop_reason=stop_reason)


def _context(run_id: str, task: str, dataset_version_id: str, scopes: tuple[str, ...]) -> CallContext:
    return CallContext(
        purpose="optimize",
        task=task,
        scopes=tuple(dict.fromkeys((*scopes, f"run:{run_id}"))),
        dataset_version_id=dataset_version_id,
        run_id=run_id,
        allow_fallback=False,
    )


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


def _so_far(
    material: Material, board: ScoreBoard, calls: int, chosen: PromptVersion | None = None
) -> OptimizationResult:
    prompt, spec, winner = material.prompt, material.spec, board.best
    candidates = [_candidate(prompt, scored, board) for scored in board.candidates]
    best = winner.prompt if winner else prompt
    if isinstance(spec, LabeledFewShotSpec) and chosen is not None:
        best = chosen
        candidates.append(CandidateResult(chosen, None, candidate_kind(prompt, chosen)))
    scores = {candidate.prompt.id: candidate.dev_score for candidate in board.candidates}
    return OptimizationResult(
        best=best,
        best_dev_score=scores.get(best.id),
        baseline_dev_score=scores.get(prompt.id),
        candidates=tuple(candidates),
        references=(),
        stop_reason=None,
        calls=calls,
        dev_rows=len(material.dev),
    )


def _candidate(prompt: PromptVersion, scored: ScoredCandidate, board: ScoreBoard) -> CandidateResult:
    return CandidateResult(
        prompt=scored.prompt,
        dev_score=scored.dev_score,
        kind=candidate_kind(prompt, scored.prompt),
        interval=mean_interval(scored.scores),
        dev_cost_nano_usd=board.cost_nano_usd(scored.prompt.id),
    )
