"""Sets DSPy up for one run and lets the optimizer work. Imports dspy: `run` imports this when it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.dataset import Row
from domain.errors import OutputParseError
from domain.optimization import MiproV2Spec
from domain.prompt import PromptVersion
from resources.dspy_runtime.adapter import StepAdapter
from resources.dspy_runtime.calls import RunCalls
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.engine import proposal_lm, task_lm
from resources.dspy_runtime.material import Material
from resources.dspy_runtime.metric import RowMetric
from resources.dspy_runtime.optimizers.registry import compile_program
from resources.dspy_runtime.optimizers.setting import Setting
from resources.dspy_runtime.program import program_from_prompt, prompt_from_program
from resources.dspy_runtime.scoreboard import ScoreBoard


def compile_prompt(material: Material, calls: RunCalls, board: ScoreBoard) -> PromptVersion:
    """The prompt version the optimizer chose; what it scored is on the board.

    Raises:
        OptimizationHalted: a call got no answer, or a template, an evaluator or the program failed.
        InputError: a train row's expected answer does not meet the output contract.
        OutputParseError: the model that writes instructions keeps to no format.
    """
    program = program_from_prompt(material.prompt)
    plan = program.plan
    plan.row_ids = _row_ids(plan.fields.rows, (*material.train, *material.dev))
    metric = RowMetric(material.evaluator, plan, board)
    task = task_lm(calls, material.prompt)
    setting = Setting(
        program=program,
        metric=metric,
        train=metric.train_examples(material.train),
        dev=metric.dev_examples(material.dev),
        task_lm=task,
        proposal_lm=proposal_lm(calls, _proposal_model(material)),
    )
    with dspy.context(
        lm=task,
        adapter=StepAdapter(plan),
        num_threads=material.spec.threads,
        max_errors=1,
        disable_history=True,
        trace=None,
        callbacks=[],
    ):
        try:
            return prompt_from_program(material.prompt, compile_program(material.spec, setting))
        except dspy.AdapterParseError as error:
            raise OutputParseError(
                "the model that writes instructions does not keep to the format it is asked for",
                mend="name a stronger model in optimizer.proposal_model.",
            ) from error


def _proposal_model(material: Material) -> str:
    own = material.spec.proposal_model if isinstance(material.spec, MiproV2Spec) else None
    return own or material.prompt.model


def _row_ids(names: Mapping[str, str], rows: Sequence[Row]) -> dict[tuple[str, ...], str]:
    ids: dict[tuple[str, ...], str] = {}
    for row in rows:
        ids.setdefault(tuple(row.inputs[name] for name in names if name in row.inputs), row.row_id)
    return ids
