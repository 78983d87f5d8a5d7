"""One task file: read, validated, with errors that name file, line, field and mend."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from domain.batch.options import check_handing_over
from domain.errors import InputError
from domain.evaluators.embedding_spec import EMBEDDINGS, EmbeddingSimilaritySpec
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.registry import (
    check_embedding_model,
    check_evaluators,
    check_judge_model,
    check_writing_model,
)
from domain.optimization import ChainSpec, OptimizerSpec, StageSpec, check_optimizer, proposal_model
from domain.rendering import check_templates
from domain.task import Task
from resources.catalog.field_errors import first_error
from resources.catalog.yaml_lines import Location, line_of, load_yaml
from resources.llm.batch_api import no_batch_api
from resources.llm.endpoint_names import Kinds, all_kinds, known_names
from resources.llm.providers import WITH_BATCH_API

NO_ENDPOINTS: Kinds = MappingProxyType({})
HELP = "`promptory task init --help` shows every field."


def load_task(path: Path, endpoints: Kinds = NO_ENDPOINTS) -> Task:
    """The task in `path`, checked as far as it can be without its dataset.

    Args:
        endpoints: the configured endpoints' kinds of provider, by name; every kind is known by its own name too.

    Raises:
        InputError: (also its subclass TemplateError) naming file, line, field and mend.
    """
    value, lines = load_yaml(path)
    try:
        task = Task.model_validate(value)
    except ValidationError as error:
        raise first_error(error, value, lines, path, Task, HELP) from error
    try:
        _check_parts(task, all_kinds(endpoints))
    except InputError as error:
        location: Location = tuple(error.field.split(".")) if error.field else ()
        row = line_of(lines, location) or line_of(lines, ("prompt", *location))
        raise type(error)(error.problem, file=str(path), row=row, field=error.field, mend=error.mend) from error
    return task


def _check_parts(task: Task, kinds: Kinds) -> None:
    prompt = task.prompt.version()
    model = _by_kind(prompt.model, kinds, "prompt.model")
    check_templates(prompt, task.dataset.inputs)
    check_handing_over(task.batch.how, len(prompt.steps))
    if task.batch.how == "provider" and model.partition("/")[0] not in WITH_BATCH_API:
        refused = no_batch_api(task.prompt.model)
        raise InputError(refused.problem, field=refused.field, mend=refused.mend)
    check_evaluators(task.evaluators, prompt.steps[-1].output)
    _check_asked_models(task, kinds)
    for number, cheaper in enumerate(task.compress.models):
        _by_kind(cheaper, kinds, f"compress.models.{number}")
    if task.optimizer is not None:
        check_optimizer(_writers_by_kind(task.optimizer, kinds), model)


def _writers_by_kind(optimizer: OptimizerSpec, kinds: Kinds) -> OptimizerSpec:
    """The optimizer with kinds of provider in place of endpoints' names."""
    if not isinstance(optimizer, ChainSpec):
        return _writer_by_kind(optimizer, kinds, "optimizer")
    stages = [
        _writer_by_kind(stage, kinds, f"optimizer.stages.{number}") for number, stage in enumerate(optimizer.stages)
    ]
    return optimizer.model_copy(update={"stages": tuple(stages)})


def _writer_by_kind(stage: StageSpec, kinds: Kinds, place: str) -> StageSpec:
    model = proposal_model(stage, "")
    if not model:
        return stage
    return stage.model_copy(update={"proposal_model": _by_kind(model, kinds, f"{place}.proposal_model")})


def _by_kind(model: str, kinds: Kinds, field: str) -> str:
    """`model` with the kind of provider in place of the endpoint's name: what it can do follows from that."""
    endpoint, _, name = model.partition("/")
    kind = kinds.get(endpoint)
    if kind is None or not name:
        writing = [name for name, kind in kinds.items() if kind != EMBEDDINGS]
        raise InputError(
            f"unknown endpoint {endpoint!r}",
            field=field,
            mend=f"write one of {known_names(writing)}, or add endpoints.{endpoint} to promptory.yaml.",
        )
    check_writing_model(model, kinds, field)
    return f"{kind}/{name}"


def _check_asked_models(task: Task, kinds: Kinds) -> None:
    """The models that evaluators and the gate ask."""
    for number, spec in enumerate(task.evaluators):
        if isinstance(spec, JudgeSpec):
            check_judge_model(spec.model, kinds, f"evaluators.{number}.model")
        elif isinstance(spec, EmbeddingSimilaritySpec):
            check_embedding_model(spec.model, kinds, f"evaluators.{number}.model")
    if task.gate.pairwise is not None:
        check_judge_model(task.gate.pairwise.model, kinds, "gate.pairwise.model")
