"""What an optimizer sees: train and dev rows, and of dev rows no expected value."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dspy_runtime.scripted import SEARCHES, ScriptedModel, make_rows, run

from domain.dataset import Row, Split
from domain.errors import InputError
from domain.optimization import CoproSpec, LabeledFewShotSpec, OptimizerSpec

SPECS: list[OptimizerSpec] = [LabeledFewShotSpec(demonstrations=4), *SEARCHES]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("where", ["train", "dev"])
def test_a_test_row_is_refused(spec: OptimizerSpec, where: str) -> None:
    model = ScriptedModel()
    train, dev = make_rows(Split.TRAIN, 5), make_rows(Split.DEV, 5)
    {"train": train, "dev": dev}[where].append(make_rows(Split.TEST, 1)[0])
    with pytest.raises(InputError, match=f"row test-0 belongs to test, not to {where}"):
        run(spec, model, train=train, dev=dev)
    assert model.requests == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("where", ["train", "dev"])
def test_an_empty_split_is_refused(spec: OptimizerSpec, where: str) -> None:
    empty: list[Row] = []
    with pytest.raises(InputError, match=f"the {where} split has no row"):
        run(spec, ScriptedModel(), **{where: empty})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_no_expected_value_of_dev_and_no_unread_column_is_ever_sent(spec: OptimizerSpec) -> None:
    """Dev rows carry their expected value in a spelling of their own; all rows a column the template does not read."""
    train = [with_secret(row, row.output) for row in make_rows(Split.TRAIN, 20)]
    dev = [with_secret(row, f" {str(row.output).upper()} ") for row in make_rows(Split.DEV, 15)]
    model = ScriptedModel()
    result = run(spec, model, train=train, dev=dev)
    sent = "\n".join(message.content for request in model.requests for message in request.messages)
    assert ("canary-train-" in sent) != isinstance(spec, CoproSpec), "COPRO needs no train row"
    assert "canary-dev-" in sent
    assert "secret" not in sent
    assert bool(result.references) == bool(result.best.steps[0].demonstrations)
    assert not any("secret" in str(reference.content()) for reference in result.references)
    assert not any(label in sent for label in ("BILLING", "DELIVERY", "REFUND"))
    proposals = "\n".join(request.messages[-1].content for request in model.requests if request.temperature == 1)
    assert "canary-dev-" not in proposals
    assert result.best_dev_score is not None
    assert result.best_dev_score > 0


def with_secret(row: Row, output: str) -> Row:
    return replace(row, inputs={**row.inputs, "customer": f"secret-{row.row_id}"}, output=output)
