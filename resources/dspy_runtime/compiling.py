"""Sets DSPy up for one run and lets the optimizer work. Imports dspy: `run` imports this when it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.dataset import Row
from domain.errors import OutputParseError
from domain.optimization import ChainSpec, StageSpec, proposal_model, stages_of
from domain.prompt import PromptVersion
from resources.dspy_runtime.adapter import StepAdapter
from resources.dspy_runtime.calls import RunCalls
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.engine import proposal_lm, task_lm
from resources.dspy_runtime.material import Material
from resources.dspy_runtime.metric import RowMetric
from resources.dspy_runtime.optimizers.baseline import score_baseline, score_on_dev
from resources.dspy_runtime.optimizers.registry import compile_program
from resources.dspy_runtime.optimizers.setting import Setting
from resources.dspy_runtime.program import program_from_prompt, prompt_from_program
from resources.dspy_runtime.row_scores import row_scores
from resources.dspy_runtime.scoreboard import ScoreBoard


def compile_prompt(material: Material, calls: RunCalls, board: ScoreBoard) -> PromptVersion:
    """The prompt version the optimizer, or the last stage of a chain, chose; what it scored is on the board.

    Each stage of a chain starts from the winner so far. The dev rows and hence the board are the same for all.

    Raises:
        OptimizationHalted: a call got no answer, or a template, an evaluator or the program failed.
        InputError: a train row's expected answer does not meet the output contract.
        OutputParseError: the model that writes instructions keeps to no format.
    """
    chosen = material.prompt
    for stage in stages_of(material.spec):
        winner = board.best
        chosen = _compile_stage(stage, winner.prompt if winner else chosen, material, calls, board)
        calls.check()  # an optimizer may have swallowed what made a call fail
    return chosen


def _compile_stage(
    stage: StageSpec, start: PromptVersion, material: Material, calls: RunCalls, board: ScoreBoard
) -> PromptVersion:
    program = program_from_prompt(start)
    plan = program.plan
    plan.row_ids = _row_ids(plan.fields.rows, (*material.train, *material.dev))
    metric = RowMetric(row_scores(material.evaluator, start, calls), plan, board, calls.halt)
    calls.limit(stage.threads)
    task = task_lm(calls, start)
    setting = Setting(
        program=program,
        metric=metric,
        train=metric.train_examples(material.train_of(stage)),
        dev=metric.dev_examples(material.dev),
        task_lm=task,
        proposal_lm=proposal_lm(calls, proposal_model(stage, start.model) or start.model),
        halt=calls.halt,
    )
    with dspy.context(
        lm=task,
        adapter=StepAdapter(plan),
        num_threads=stage.threads,
        max_errors=1,
        disable_history=True,
        trace=None,
        callbacks=[],
    ):
        try:
            return prompt_from_program(start, _compiled(stage, setting, chained=isinstance(material.spec, ChainSpec)))
        except dspy.AdapterParseError as error:
            raise OutputParseError(
                f"the model that writes instructions for {stage.kind} does not keep to the format it is asked for",
                mend="name a stronger model in optimizer.proposal_model.",
            ) from error


def _compiled(stage: StageSpec, setting: Setting, *, chained: bool) -> dspy.Module:
    """What the stage chose. In a chain both its start and its choice have scores: labeled_few_shot asks for none."""
    if chained:
        score_baseline(setting, stage.threads)
    chosen = compile_program(stage, setting)
    if chained:
        score_on_dev(chosen, setting, stage.threads)
    return chosen


def _row_ids(names: Mapping[str, str], rows: Sequence[Row]) -> dict[tuple[str, ...], str]:
    ids: dict[tuple[str, ...], str] = {}
    for row in rows:
        ids.setdefault(tuple(row.inputs[name] for name in names if name in row.inputs), row.row_id)
    return ids
