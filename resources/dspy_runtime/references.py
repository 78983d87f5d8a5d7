"""The second baseline: the same prompt with demonstrations drawn at random from the labelled rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

from domain.dataset import Row
from domain.errors import InputError
from domain.parsing import format_output
from domain.prompt import Demonstration, PromptStep, PromptVersion
from domain.rendering import template_fields
from resources.dspy_runtime.rows import shuffled


def labelled_demonstration(step: PromptStep, row: Row) -> Demonstration:
    """A labelled row as a worked example of `step`: the fields its template reads, and a perfect answer.

    Raises:
        InputError: the expected answer does not meet the step's contract.
    """
    wanted = template_fields(step.output_prompt)
    try:
        output = format_output(step.output, row.output)
    except InputError as error:
        raise InputError(
            f"row {row.row_id} cannot be a demonstration: {error.problem}",
            field=f"steps.{step.name}.output",
            mend="correct the row's expected answer, or declare an output contract that it meets.",
        ) from error
    return Demonstration(inputs={name: text for name, text in row.inputs.items() if name in wanted}, output=output)


def reference_draws(
    prompt: PromptVersion, train: Sequence[Row], demonstrations: int, *, draws: int, seed: int
) -> tuple[PromptVersion, ...]:
    """`draws` versions of `prompt`, each with that many random labelled demonstrations in its last step.

    Fewer when draws coincide. None when there is nothing to draw: no demonstrations are asked for, or the last step
    reads an earlier step's answer, for which no row has a label.

    Raises:
        InputError: a drawn row's expected answer does not meet the contract.
    """
    last = prompt.steps[-1]
    reads_steps = template_fields(last.output_prompt) & {step.name for step in prompt.steps[:-1]}
    if demonstrations == 0 or reads_steps:
        return ()
    pool = shuffled(train, seed)
    versions: dict[str, PromptVersion] = {}
    for draw in range(draws):
        # Not for secrets: the draw must be the same on every machine.
        rows = random.Random(f"{seed}:reference:{draw}").sample(pool, min(demonstrations, len(pool)))  # noqa: S311
        chosen = tuple(labelled_demonstration(last, row) for row in rows)
        version = prompt.with_steps((*prompt.steps[:-1], last.model_copy(update={"demonstrations": chosen})))
        versions.setdefault(version.id, version)
    return tuple(versions.values())
