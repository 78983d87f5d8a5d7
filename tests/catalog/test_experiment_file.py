"""Experiment files: each mistake is one error that names file, line, field and mend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain.errors import InputError, NotFoundError
from resources.catalog.experiments import ExperimentCatalog, overlap_errors

TEXT = """\
name: wording
task: colours
variants:
  - {name: control, prompt: v1}
  - {name: shorter, prompt: v2, weight: 2}
layer: {name: shop, start: 0, end: 5000}
metric: {name: solved, window_hours: 2}
guardrails: {max_cost_ratio: 1.2}
"""


@pytest.fixture
def catalog(spec: dict, write_task: Callable[..., Path], tmp_path: Path) -> ExperimentCatalog:
    write_task(spec)
    (tmp_path / "catalog" / "experiments").mkdir()
    return ExperimentCatalog(tmp_path / "catalog")


def write(catalog: ExperimentCatalog, text: str = TEXT, name: str = "wording") -> Path:
    path = catalog.folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_file_gives_the_experiment(catalog: ExperimentCatalog) -> None:
    write(catalog)
    experiment = catalog.get("wording").experiment
    assert experiment.weights() == {"control": 1, "shorter": 2}
    assert (experiment.control.name, experiment.metric.kind, experiment.scope) == (
        "control",
        "binary",
        "experiment:wording",
    )


@pytest.mark.parametrize(
    ("change", "field", "line", "mend"),
    [
        ({"task": "colors"}, "task", "task", "did you mean `colours`?"),
        ({"task": None}, "task", "name", "add `task: …`"),
        ({"variants": [{"name": "a", "prompt": "v1"}]}, "variants", "variants", ""),
        ({"variants": [{"name": "a", "prompt": "v1"}, {"name": "a", "prompt": "v2"}]}, None, "name", ""),
        ({"variants": [{"name": "a", "prompt": "v1"}, {"name": "b", "prompt": "v2", "weight": 0}]}, "weight", "w", ""),
        ({"variants": [{"name": "a", "prompt": "v1"}, {"name": "b", "promt": "v2"}]}, "promt", "promt", "`prompt`?"),
        ({"variants": [{"name": "a", "prompt": "v1", "weight": 500}, {"name": "b", "prompt": "v2"}]}, None, "n", ""),
        ({"layer": {"start": 5000, "end": 5000}}, "layer", "layer", ""),
        ({"layer": {"end": 10001}}, "layer.end", "end", ""),
        ({"metric": {"kind": "clicks"}}, "metric.kind", "kind", "docs/experiments.md"),
        ({"metric": {"window_hours": 0}}, "metric.window_hours", "window", ""),
        ({"alfa": 0.1}, "alfa", "alfa", "did you mean `alpha`?"),
        ({"alpha": 0.5}, "alpha", "alpha", ""),
        ({"max_units": 100}, None, "name", ""),
        ({"guardrails": {"max_cost_ratio": -1}}, "guardrails.max_cost_ratio", "max_cost", ""),
        ({"name": "Wording!"}, "name", "name", "lower-case"),
    ],
)
def test_a_mistake_is_named_with_file_line_field_and_mend(
    catalog: ExperimentCatalog, change: dict[str, Any], field: str | None, line: str, mend: str
) -> None:
    value = {**yaml.safe_load(TEXT), **change}
    path = write(catalog, yaml.safe_dump({k: v for k, v in value.items() if v is not None}, sort_keys=False), "changed")
    [error] = catalog.read().errors
    assert error.file == str(path)
    assert field is None or field in (error.field or "")
    assert line in path.read_text().splitlines()[(error.row or 0) - 1]
    assert mend in (error.mend or "")


def test_a_bad_file_hides_no_other(catalog: ExperimentCatalog) -> None:
    write(catalog)
    write(catalog, "name: [", "broken")
    write(catalog, TEXT, "copy")
    reading = catalog.read()
    assert [entry.experiment.name for entry in reading.entries] == ["wording"]
    assert len(reading.errors) == 2


def test_an_unknown_experiment_lists_those_there_are(catalog: ExperimentCatalog) -> None:
    write(catalog)
    with pytest.raises(NotFoundError, match="experiments there are: wording"):
        catalog.get("words")
    write(catalog, "name: [", "broken")
    with pytest.raises(NotFoundError, match="could not be read"):
        catalog.get("words")


def test_buckets_that_an_earlier_file_has_are_refused_with_the_line(catalog: ExperimentCatalog) -> None:
    write(catalog)
    path = write(catalog, TEXT.replace("name: wording", "name: xerox").replace("start: 0", "start: 4999"), "xerox")
    write(catalog, TEXT.replace("name: wording", "name: yonder").replace("name: shop", "name: mill"), "yonder")
    entries = catalog.read().entries
    errors = overlap_errors(entries, ())
    assert list(errors) == ["xerox"]
    error = errors["xerox"]
    assert isinstance(error, InputError)
    assert (error.file, error.field) == (str(path), "layer")
    assert "layer" in path.read_text().splitlines()[(error.row or 0) - 1]
    assert overlap_errors(entries, {"wording"}) == {}
