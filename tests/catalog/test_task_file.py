"""Task files: each mistake is one error that names file, line, field and mend."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InputError, NotFoundError, TemplateError
from resources.catalog.catalog import Catalog
from resources.catalog.task_file import load_task
from resources.llm import providers

Write = Callable[..., Path]


JUDGE = {"kind": "judge", "model": "openai/gpt-4o-mini", "rubric": "Good answers are short."}

SIMILARITY = {"kind": "embedding_similarity", "model": "embeddings/text-embedding-3-small"}


def changed(spec: dict, path: str, value: Any) -> dict:
    copy = deepcopy(spec)
    *parents, last = path.split(".")
    node = copy
    for parent in parents:
        node = node[parent]
    if value is None:
        node.pop(last)
    else:
        node[last] = value
    return copy


def test_a_good_file_gives_the_task(spec: dict, write_task: Write) -> None:
    task = load_task(write_task(spec))
    assert task.name == "colours"
    assert [step.name for step in task.prompt.steps] == ["answer"]


@pytest.mark.parametrize(
    ("path", "value", "field", "mend"),
    [
        ("dataset", None, "dataset", "add `dataset: …`"),
        ("evaluators", [{"kind": "wonder"}], "evaluators.0", "set `kind` to one of"),
        ("evaluators", [], "evaluators", ""),
        ("prompt.model", "gpt-4o", "prompt.model", "provider/name"),
        ("prompt.model", "acme/gpt", "prompt.model", "offline/…"),
        ("prompt.model", "Acme/gpt", "prompt.model", "provider/name"),
        (
            "optimizer",
            {"kind": "mipro_v2", "proposal_model": "acme/gpt"},
            "optimizer.proposal_model",
            "add endpoints.acme to promptory.yaml",
        ),
        ("prompt.output", {"kind": "choice", "choices": ["red"]}, "prompt.output.choices", ""),
        ("prompt.output", {"kind": "guess"}, "prompt.output", "set `kind` to one of"),
        ("prompt.output_prompt", "{{ txet }}", "prompt", "text"),
        ("prompt.output_prompt", "{{ text.__class__ }}", "output_prompt", "plain fields"),
        ("prompt.output_prompt", "{{ text", "output_prompt", "close every"),
        ("evaluators", [{"kind": "python", "path": "rules.grade"}], "evaluators.0.path", ""),
        ("evaluators", [{"kind": "exact_match"}, {**JUDGE, "model": "offline/nearest"}], "evaluators.1", "openai/…"),
        ("evaluators", [{"kind": "exact_match"}, {**JUDGE, "model": "acme/gpt"}], "evaluators.1", "openai/…"),
        ("evaluators", [{"kind": "exact_match"}, {**JUDGE, "samples": 3}], "evaluators.1", ""),
        ("evaluators", [{"kind": "exact_match"}, JUDGE, JUDGE], "evaluators", "`name`"),
        ("evaluators", [{**JUDGE, "scale": {"lowest": 5, "highest": 5}}], "evaluators.0.scale", ""),
        ("gate", {"pairwise": {"model": "offline/nearest", "rubric": "x"}}, "gate.pairwise.model", "openai/…"),
        ("prompt.model", "embeddings/small", "prompt.model", "name a language model"),
        ("evaluators", [{**JUDGE, "model": "embeddings/small"}], "evaluators.0.model", "openai/…"),
        ("gate", {"pairwise": {"model": "embeddings/small", "rubric": "x"}}, "gate.pairwise.model", "openai/…"),
        ("compress", {"models": ["openai/a", "embeddings/small"]}, "compress.models.1", "name a language model"),
        ("compress", {"models": ["acme/a"]}, "compress.models.0", "add endpoints.acme"),
        (
            "optimizer",
            {"kind": "gepa", "proposal_model": "embeddings/small"},
            "optimizer.proposal_model",
            "name a language model",
        ),
        (
            "optimizer",
            {"kind": "chain", "stages": [{"kind": "labeled_few_shot"}, {"kind": "copro", "proposal_model": "acme/a"}]},
            "optimizer.stages.1.proposal_model",
            "add endpoints.acme",
        ),
        ("evaluators", [{**SIMILARITY, "model": "openai/gpt-4o"}], "evaluators.0.model", "embeddings/…"),
        ("evaluators", [{**SIMILARITY, "threshold": 2}], "evaluators.0.threshold", ""),
        ("evaluators", [SIMILARITY, SIMILARITY], "evaluators", "`name`"),
        ("name", "Colours!", "name", "lower-case"),
        ("dataset.split", {"train": 0.9, "dev": 0.9, "test": 0.9}, "dataset.split", ""),
        ("dataset.inputs", ["text", "text"], "", "correct the value"),
        ("gate", {"alfa": 0.05}, "gate.alfa", "did you mean `alpha`?"),
        ("budget", {"run_usd": -1}, "budget.run_usd", ""),
    ],
)
def test_a_mistake_is_named_with_file_line_field_and_mend(
    spec: dict, write_task: Write, path: str, value: Any, field: str, mend: str
) -> None:
    file = write_task(changed(spec, path, value))
    with pytest.raises(InputError) as caught:
        load_task(file)
    error = caught.value
    assert error.file == str(file)
    assert error.row is not None
    assert field in (error.field or "")
    assert mend in (error.mend or "")


@pytest.mark.parametrize("model", ["vllm/llama-3", "gpu-box_2/meta/Llama-3.1", "openai/gpt-4o"])
def test_a_model_may_begin_with_any_configured_endpoint(spec: dict, write_task: Write, model: str) -> None:
    file = write_task(changed(spec, "prompt.model", model))
    task = load_task(file, {"vllm": "openai", "gpu-box_2": "openai"})
    assert task.prompt.version().model == model
    assert Catalog(file.parents[1], {"vllm": "openai", "gpu-box_2": "openai"}).get("colours").task == task


def test_an_unknown_endpoint_lists_the_configured_ones_too(spec: dict, write_task: Write) -> None:
    with pytest.raises(InputError, match="unknown endpoint 'vlm'") as caught:
        load_task(write_task(changed(spec, "prompt.model", "vlm/llama-3")), {"vllm": "openai"})
    assert "offline/…, openai/…, vertex/…, vllm/…" in (caught.value.mend or "")


def test_the_built_in_reader_under_another_name_writes_no_instructions_either(spec: dict, write_task: Write) -> None:
    proposing = changed(spec, "optimizer", {"kind": "mipro_v2", "proposal_model": "reader/nearest"})
    with pytest.raises(InputError, match="writes instructions"):
        load_task(write_task(proposing), {"reader": "offline"})


def test_a_judge_may_be_the_metric_of_the_gate_and_of_an_optimizer(spec: dict, write_task: Write) -> None:
    judged = changed(spec, "evaluators", [JUDGE])
    for one in (judged, changed(judged, "optimizer", {"kind": "gepa", "proposal_model": "openai/gpt-4o"})):
        assert load_task(write_task(one)).metric.kind == "judge"


def test_an_embedding_similarity_may_be_the_metric_at_any_endpoint_of_its_kind(spec: dict, write_task: Write) -> None:
    for model in ("embeddings/text-embedding-3-small", "team_b/tiny"):
        file = write_task(changed(spec, "evaluators", [{**SIMILARITY, "model": model}]))
        assert load_task(file, {"team_b": "embeddings"}).metric.kind == "embedding_similarity"


STEPS = [
    {"name": "first", "output_prompt": "{{ text }}"},
    {"name": "second", "output_prompt": "{{ first }}", "output": {"kind": "choice", "choices": ["red", "blue"]}},
]


def test_a_prompt_of_several_steps_is_not_handed_to_a_batch_api(spec: dict, write_task: Write) -> None:
    prompt = {"model": "openai/gpt-4o-mini", "steps": STEPS}
    path = write_task({**spec, "prompt": prompt, "batch": {"how": "provider"}})
    with pytest.raises(InputError, match="2 steps cannot be handed to a batch API") as caught:
        load_task(path)
    error = caught.value
    assert (error.file, error.field, error.mend) == (str(path), "batch.how", "ask row by row: `how: direct`.")
    assert path.read_text().splitlines()[(error.row or 0) - 1].strip() == "how: provider"
    assert load_task(write_task({**spec, "prompt": prompt})).batch.how == "direct"


def test_rows_are_handed_only_to_providers_that_have_a_batch_api(spec: dict, write_task: Write) -> None:
    path = write_task({**spec, "batch": {"how": "provider"}})
    with pytest.raises(InputError, match="no batch API") as caught:
        load_task(path)
    assert (caught.value.file, caught.value.field) == (str(path), "batch.how")
    assert "how: direct" in (caught.value.mend or "")
    mended = write_task({**changed(spec, "prompt.model", "gateway/small"), "batch": {"how": "provider"}})
    assert load_task(mended, {"gateway": "openai"}).batch.how == "provider"


def test_those_that_have_one_are_known_without_loading_them() -> None:
    folder = Path(providers.__file__).parent
    having = {
        path.relative_to(folder).parts[0].removesuffix(".py")
        for path in (*folder.glob("*.py"), *folder.glob("*/provider.py"))
        if "def batch_api(" in path.read_text()
    }
    assert having == providers.WITH_BATCH_API


@pytest.mark.parametrize(("word", "meant"), [("on", "on"), ("off", "off"), ("read", "read"), ("'on'", "on")])
def test_yaml_may_take_a_word_for_a_truth_value(spec: dict, write_task: Write, word: str, meant: str) -> None:
    path = write_task(spec)
    path.write_text(f"{path.read_text()}\nbatch: {{cache: {word}}}\n")
    assert load_task(path).batch.cache == meant


def test_the_line_is_the_one_at_fault(spec: dict, write_task: Write) -> None:
    file = write_task(changed(spec, "dataset.inputs", "text"))
    with pytest.raises(InputError) as caught:
        load_task(file)
    assert "inputs" in file.read_text().splitlines()[(caught.value.row or 0) - 1]


@pytest.mark.parametrize(
    ("text", "row", "problem"),
    [
        ("name: [unclosed", 1, "not valid YAML"),
        ("name: a\nname: b\n", 2, "stands twice"),
        ("- just\n- a list\n", None, "no mapping"),
        ("", None, "no mapping"),
        ("name: a\n\tdescription: tab\n", 2, "not valid YAML"),
    ],
)
def test_malformed_yaml_names_its_line(write_task: Write, text: str, row: int | None, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        load_task(write_task(text))
    assert caught.value.row == row


def test_a_file_that_is_not_utf8(write_task: Write) -> None:
    file = write_task("name: a")
    file.write_bytes(b"name: a\ndescription: caf\xe9\n")
    with pytest.raises(InputError, match="UTF-8") as caught:
        load_task(file)
    assert caught.value.row == 2


def test_a_template_error_keeps_its_class(spec: dict, write_task: Write) -> None:
    with pytest.raises(TemplateError):
        load_task(write_task(changed(spec, "prompt.output_prompt", "{{ nothing }}")))


def test_a_bad_file_hides_no_other(spec: dict, write_task: Write, tmp_path: Path) -> None:
    write_task(spec)
    write_task("name: [", name="broken")
    write_task(spec, name="same_name_again")
    reading = Catalog(tmp_path / "catalog").read()
    assert [entry.task.name for entry in reading.entries] == ["colours"]
    assert len(reading.errors) == 2


def test_an_unknown_task_lists_those_there_are(spec: dict, write_task: Write, tmp_path: Path) -> None:
    write_task(spec)
    with pytest.raises(NotFoundError, match="colours"):
        Catalog(tmp_path / "catalog").get("colors")
