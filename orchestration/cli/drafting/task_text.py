"""The YAML of a drafted task, with a comment at every field a person may want to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from domain.optimization import OFFLINE_MODEL
from orchestration.cli.drafting.sniffing import (
    SHORT_TEXT_CHARACTERS,
    Answers,
    ChoiceAnswers,
    JsonAnswers,
    NumberAnswers,
    TextAnswers,
)

REASONING_TOKENS = 512
MAX_DEV_ROWS = 200


@dataclass(frozen=True, slots=True)
class Draft:
    """What a task file is drafted from. `source` is as it will be written."""

    name: str
    source: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    model: str
    answers: Answers
    id_column: str | None
    rows: int


def task_text(draft: Draft) -> str:
    """The task file."""
    return "\n".join([*_head(draft), "", *_dataset(draft), "", *_prompt(draft), "", *_rest(draft)]) + "\n"


def _head(draft: Draft) -> list[str]:
    return [
        f"# Drafted from {draft.rows:,} rows of {_comment(draft.source)}. Edit it freely; then check it with",
        f"#   promptory task validate {draft.name}",
        "# `promptory task show` prints every field, the defaults included.",
        f"name: {_scalar(draft.name)}  # the file is best called the same",
        'description: ""  # what the task is for, in a sentence; people read it, no model does',
    ]


def _dataset(draft: Draft) -> list[str]:
    output = draft.outputs[0] if len(draft.outputs) == 1 else list(draft.outputs)
    lines = [
        "dataset:",
        f"  source: {_scalar(draft.source)}" + ("" if draft.source.startswith("/") else "  # relative to this file"),
        f"  inputs: {_flow(list(draft.inputs))}  # columns the prompt may use",
        f"  output: {_flow(output) if isinstance(output, list) else _scalar(output)}  # the expected answer",
    ]
    if draft.id_column:
        lines.append(f"  id: {_scalar(draft.id_column)}  # a column with one id per row")
    if isinstance(draft.answers, NumberAnswers) and draft.answers.pattern:
        lines.append(f"  answer_pattern: {_scalar(draft.answers.pattern)}  # its group is the answer inside the cell")
    return [
        *lines,
        "  # Rows are dealt to the splits by a hash of their input: a row keeps its split when rows are added.",
        "  # The optimizer learns from train and chooses on dev; test is sealed for the gate.",
        "  split: {seed: 0, train: 0.5, dev: 0.2, test: 0.3}",
        "  max_quarantined: 0.1  # refuse a file of which more than this share cannot be used",
    ]


def _prompt(draft: Draft) -> list[str]:
    model_comment = "no language model: a reader of demonstrations, for trying things out" if _offline(draft) else ""
    return [
        "prompt:",
        f"  model: {_scalar(draft.model)}" + (f"  # {model_comment}; e.g. openai/gpt-4o-mini" if model_comment else ""),
        f"  parameters: {{temperature: 0.0, max_output_tokens: {_tokens(draft.answers)}}}",
        "  # The baseline. Say what the job is and what a good answer needs: the optimizer starts from here, and the",
        "  # better this is, the more an improvement means. The output contract below is added to it by itself.",
        "  system_prompt: |-",
        f"    {_instruction(draft)}",
        "  # A Jinja2 template; its fields are the inputs.",
        *_output_prompt(draft.inputs),
        *_contract(draft.answers),
    ]


def _output_prompt(inputs: Sequence[str]) -> list[str]:
    lines = [f"    {_title(name)}: {{{{ {name} }}}}" for name in inputs]
    return ["  output_prompt: |-", *lines]


def _contract(answers: Answers) -> list[str]:
    match answers:
        case ChoiceAnswers(labels):
            lines = [
                "  # The answer is one of these. A description after the label goes into the prompt and helps:",
                "  #   refund: asking for money back",
                "  output:",
                "    kind: choice",
                "    choices:",
            ]
            return [*lines, *(f'      {_scalar(label)}: ""' for label in labels)]
        case NumberAnswers(pattern):
            lines = ["  output:", "    kind: number  # one number and nothing else"]
            return [*lines, *(["    reasoning: true  # think first, then `Answer:` and the number"] if pattern else [])]
        case JsonAnswers(schema):
            text = yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=100)
            lines = [
                "  output:",
                "    kind: json",
                "    # JSON Schema 2020-12; tighten it, e.g. with pattern or minimum.",
            ]
            return [*lines, "    schema:", *(f"      {line}" for line in text.splitlines())]
        case TextAnswers():
            return ["  output:", "    kind: text  # any text; choice, number and json are stricter"]


def _rest(draft: Draft) -> list[str]:
    return [
        "# The first evaluator is the metric: the optimizer and the gate look at it; the others are shown beside it.",
        "# docs/evaluators.md has them all: also functions of your own (kind: python), models as judges (kind: judge),",
        "# likeness of meaning (kind: embedding_similarity).",
        "evaluators:",
        *(f"  - kind: {kind}{comment}" for kind, comment in _evaluators(draft.answers)),
        "",
        "# What `promptory optimize` does; leave it out for a task that is only evaluated.",
        "# labeled_few_shot takes random demonstrations, bootstrap_random_search looks for the best set,",
        "# mipro_v2, gepa and others also write instructions (they need a language model); see docs/optimizers.md.",
        "optimizer:",
        "  kind: bootstrap_random_search",
        "  seed: 0  # same seed, same result",
        "  candidates: 8  # demonstration sets tried",
        f"  max_bootstrapped: {8 if isinstance(draft.answers, ChoiceAnswers) else 4}",
        f"  max_labeled: {_demonstrations(draft.answers)}  # demonstrations in the prompt",
        f"  dev_rows: {MAX_DEV_ROWS}  # score candidates on at most this many dev rows",
        "",
        "optimize: manual  # automatic: start by itself when the dataset or the prompt changes",
        "",
        "# A candidate replaces production only where it is significantly better on the sealed test split.",
        "gate:",
        "  alpha: 0.05  # the risk of promoting noise",
        "",
        "# In USD. No call is made that could pass a cap.",
        "budget:",
        '  total_usd: "10.00"  # everything this task may ever spend',
        '  run_usd: "1.00"  # one optimization run',
    ]


def _evaluators(answers: Answers) -> list[tuple[str, str]]:
    match answers:
        case ChoiceAnswers():
            return [("choice_label", "  # 1 for the right label, else 0")]
        case NumberAnswers():
            return [("numeric", "  # 1 for the right number; absolute_tolerance and relative_tolerance may be set")]
        case JsonAnswers():
            return [("json_fields", "  # the share of right fields"), ("json_schema", "  # 1 when the schema is met")]
        case TextAnswers(mean_length):
            exact, overlap = ("exact_match", "  # 1 for the same text"), ("token_f1", "  # words in common")
            return [exact, overlap] if mean_length <= SHORT_TEXT_CHARACTERS else [overlap, exact]


def _demonstrations(answers: Answers) -> int:
    return min(48, max(16, 2 * len(answers.labels))) if isinstance(answers, ChoiceAnswers) else 16


def _tokens(answers: Answers) -> int:
    """Room for the longest expected answer, generously: a cut answer scores nothing."""
    match answers:
        case ChoiceAnswers(labels):
            return max(16, max(len(label) for label in labels))
        case NumberAnswers(pattern):
            return REASONING_TOKENS if pattern else 32
        case JsonAnswers():
            return 256
        case TextAnswers(longest=longest):
            return min(2048, max(64, longest))


def _instruction(draft: Draft) -> str:
    given = " and ".join(f"the {_title(name).lower()}" for name in draft.inputs)
    wanted = " and ".join(f"the {_title(name).lower()}" for name in draft.outputs)
    verb = "Choose" if isinstance(draft.answers, ChoiceAnswers) else "Give"
    return f"Read {given}. {verb} {wanted}."


def _title(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


def _offline(draft: Draft) -> bool:
    return draft.model == OFFLINE_MODEL


def _scalar(value: Any) -> str:
    """`value` as YAML, quoted where a plain word would mean something else (yes, 1, null)."""
    return (
        yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
    )


def _flow(values: list[str]) -> str:
    return yaml.safe_dump(values, allow_unicode=True, default_flow_style=True, width=10_000).strip()


def _comment(text: str) -> str:
    return " ".join(text.split())
