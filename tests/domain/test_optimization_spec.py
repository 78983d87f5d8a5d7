from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from domain.errors import InputError
from domain.optimization import (
    ChainSpec,
    LabeledFewShotSpec,
    MiproV2Spec,
    OptimizerSpec,
    RandomSearchSpec,
    check_optimizer,
    optimization_run_id,
    simba_depths,
)
from domain.optimization_plan import planned_calls, planned_stages

METRIC: dict[str, Any] = {"kind": "exact_match", "ignore_case": True}


def run_id(optimizer: OptimizerSpec, *, prompt: str = "p", dataset: str = "d", cap: int = 1) -> str:
    return optimization_run_id(prompt, dataset, optimizer, METRIC, cap)


def test_threads_never_change_the_run() -> None:
    assert run_id(RandomSearchSpec(threads=1)) == run_id(RandomSearchSpec(threads=16))


def test_everything_else_does() -> None:
    base = RandomSearchSpec()
    ids = [
        run_id(base),
        run_id(base, prompt="other"),
        run_id(base, dataset="other"),
        run_id(base, cap=2),
        run_id(RandomSearchSpec(seed=1)),
        run_id(RandomSearchSpec(candidates=9)),
        run_id(RandomSearchSpec(dev_rows=10)),
        run_id(RandomSearchSpec(reference_draws=0)),
        run_id(LabeledFewShotSpec()),
        run_id(MiproV2Spec()),
        optimization_run_id("p", "d", base, {**METRIC, "ignore_case": False}, 1),
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("optimizer", "model"),
    [(MiproV2Spec(), "offline/nearest"), (MiproV2Spec(proposal_model="offline/nearest"), "openai/gpt-4o")],
)
def test_a_proposer_must_be_able_to_write(optimizer: OptimizerSpec, model: str) -> None:
    with pytest.raises(InputError, match="bootstrap_random_search") as caught:
        check_optimizer(optimizer, model)
    assert caught.value.field == "optimizer.proposal_model"


@pytest.mark.parametrize(
    ("optimizer", "model"),
    [
        (MiproV2Spec(proposal_model="openai/gpt-4o"), "offline/nearest"),
        (MiproV2Spec(), "openai/gpt-4o"),
        (RandomSearchSpec(), "offline/nearest"),
        (LabeledFewShotSpec(), "offline/nearest"),
    ],
)
def test_fitting_pairs_pass(optimizer: OptimizerSpec, model: str) -> None:
    check_optimizer(optimizer, model)


CHAIN = {"kind": "chain", "stages": [{"kind": "bootstrap_few_shot"}, {"kind": "gepa", "max_rows": 300}]}


def test_a_chain_is_its_stages_in_order_and_not_their_threads() -> None:
    chain = ChainSpec.model_validate(CHAIN)
    faster = chain.model_copy(update={"stages": tuple(one.model_copy(update={"threads": 9}) for one in chain.stages)})
    turned = chain.model_copy(update={"stages": chain.stages[::-1]})
    assert run_id(chain) == run_id(faster)
    assert len({run_id(chain), run_id(turned), run_id(chain.stages[0]), run_id(chain.stages[1])}) == 4


@pytest.mark.parametrize("own", [{"dev_rows": 5}, {"reference_draws": 0}])
def test_what_belongs_to_a_chain_is_refused_in_a_stage(own: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=r"stages\.1 sets .*, which belongs to the chain"):
        ChainSpec.model_validate({**CHAIN, "stages": [{"kind": "copro"}, {"kind": "simba", **own}]})


def test_a_chain_of_chains_is_refused() -> None:
    with pytest.raises(ValidationError):
        ChainSpec.model_validate({"kind": "chain", "stages": [CHAIN, CHAIN]})


def test_the_stage_that_cannot_write_is_named() -> None:
    with pytest.raises(InputError, match="gepa needs a language model") as caught:
        check_optimizer(ChainSpec.model_validate(CHAIN), "offline/nearest")
    assert caught.value.field == "optimizer.stages.1.proposal_model"


@pytest.mark.parametrize(("steps", "depths"), [(1, (1,)), (2, (1, 2)), (4, (1, 2, 4)), (6, (1, 2, 4, 6))])
def test_simba_is_looked_at_after_doubling_steps(steps: int, depths: tuple[int, ...]) -> None:
    assert simba_depths(steps) == depths


def test_a_chain_plans_its_stages_and_their_scores() -> None:
    chain = ChainSpec.model_validate(CHAIN)
    first, second = planned_stages(chain, 50, 40)
    assert (first.kind, second.kind) == ("bootstrap_few_shot", "gepa")
    alone = [planned_stages(stage, 50, 40)[0] for stage in chain.stages]
    assert first.task.at_most == alone[0].task.at_most + 2 * 40
    assert second.proposals == alone[1].proposals


def test_labelled_demonstrations_cost_no_call() -> None:
    assert planned_calls(LabeledFewShotSpec(), 1_000, 1_000) == 0


def test_plans_grow_with_rows_candidates_and_predictors() -> None:
    small = planned_calls(RandomSearchSpec(candidates=4), 20, 20)
    assert planned_calls(RandomSearchSpec(candidates=5), 20, 20) > small
    assert planned_calls(RandomSearchSpec(candidates=4), 21, 20) > small
    assert planned_calls(RandomSearchSpec(candidates=4), 20, 21) > small
    assert planned_calls(RandomSearchSpec(candidates=4), 20, 20, steps=2) == 2 * small


def test_dev_rows_cap_the_plan_and_never_raise_it() -> None:
    whole = planned_calls(RandomSearchSpec(), 20, 100)
    assert planned_calls(RandomSearchSpec(dev_rows=10), 20, 100) == planned_calls(RandomSearchSpec(), 20, 10) < whole
    assert planned_calls(RandomSearchSpec(dev_rows=500), 20, 100) == whole


def test_without_bootstrapping_train_is_not_called() -> None:
    spec = RandomSearchSpec(max_bootstrapped=0)
    assert planned_calls(spec, 1_000, 20) == planned_calls(spec, 0, 20)


def test_heavier_settings_plan_more_calls() -> None:
    light, medium, heavy = (planned_calls(MiproV2Spec(auto=auto), 50, 50) for auto in ("light", "medium", "heavy"))
    assert light < medium < heavy
