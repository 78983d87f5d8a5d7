"""A plan is never exceeded, and nothing loads DSPy before a run does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dspy_runtime.scripted import CONTRACT, SEARCHES, ScriptedModel, is_proposal, make_rows, run
from pydantic import ValidationError

from domain.dataset import Split
from domain.optimization import ChainSpec, GepaSpec, LabeledFewShotSpec, MiproV2Spec, OptimizerSpec, RandomSearchSpec
from domain.optimization_plan import planned_calls, planned_stages
from domain.prompt import Demonstration, PromptStep, PromptVersion

SPECS: list[OptimizerSpec] = [
    LabeledFewShotSpec(),
    RandomSearchSpec(candidates=3),
    RandomSearchSpec(candidates=3, max_bootstrapped=0, dev_rows=7),
    MiproV2Spec(),
    MiproV2Spec(max_bootstrapped=0, max_labeled=0),
    MiproV2Spec(auto="medium", max_labeled=0),
    ChainSpec(stages=(LabeledFewShotSpec(demonstrations=2), GepaSpec(max_rows=200), LabeledFewShotSpec())),
    *SEARCHES,
]
ROOT = Path(__file__).parents[2]


def two_steps() -> PromptVersion:
    first = PromptStep(
        name="echo",
        output_prompt="{{ text }}",
        demonstrations=(Demonstration(inputs={"text": "about iris"}, output="about iris"),),
    )
    last = PromptStep(name="label", system_prompt="-", output_prompt="{{ echo }} {{ text }}", output=CONTRACT)
    return PromptVersion(steps=(first, last), model="openai/m")


class Hopeless(ScriptedModel):
    """Never right, so that every bootstrap goes through all train rows."""

    def label(self, request) -> str:
        return "refund about amber"


@pytest.mark.parametrize("model", [ScriptedModel, Hopeless])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_no_run_makes_more_calls_than_planned(spec: OptimizerSpec, model: type[ScriptedModel]) -> None:
    dev_rows = 60 if isinstance(spec, MiproV2Spec) and model is Hopeless else 8
    for prompt, steps in ((None, 1), (two_steps(), 2)):
        asked = model()
        run(spec, asked, prompt=prompt, train=make_rows(Split.TRAIN, 12), dev=make_rows(Split.DEV, dev_rows))
        stages = planned_stages(spec, 12, dev_rows, steps)
        proposals = [request for request in asked.requests if is_proposal(request)]
        assert len(proposals) <= sum(stage.proposals.at_most for stage in stages)
        assert len(asked.requests) - len(proposals) <= sum(stage.task.at_most for stage in stages)
        assert all(stage.task.expected <= stage.task.at_most for stage in stages)
        assert all(stage.proposals.expected <= stage.proposals.at_most for stage in stages)
        assert len(asked.requests) <= planned_calls(spec, 12, dev_rows, steps)


def test_what_mipro_cannot_do_is_refused_by_the_task_file() -> None:
    with pytest.raises(ValidationError, match="mipro_v2 always bootstraps"):
        MiproV2Spec(max_bootstrapped=0, max_labeled=2)


def test_dspy_loads_when_a_run_starts_and_not_before() -> None:
    modules = "run journal stored_journal calls references results material scoreboard progress halting fields"
    code = (
        "import importlib, sys\n"
        f"for name in {modules.split()!r}: importlib.import_module('resources.dspy_runtime.' + name)\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] in ('dspy', 'optuna', 'dagster')]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_dspy_writes_nothing_anywhere(tmp_path: Path) -> None:
    code = (
        "from dspy_runtime.scripted import ScriptedModel, run\n"
        "from domain.optimization import RandomSearchSpec\n"
        "run(RandomSearchSpec(candidates=1), ScriptedModel())\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (finished.stdout, finished.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []
