"""A model that answers by a rule the product cannot know, a task for it, and what a run of it needs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from domain.contracts import ChoiceContract
from domain.dataset import Row, Split
from domain.evaluators.exact_match import ExactMatch
from domain.evaluators.score import Evaluator
from domain.evaluators.specs import AskingSpec, ExactMatchSpec
from domain.optimization import (
    BootstrapFewShotSpec,
    ChainSpec,
    CoproSpec,
    GepaSpec,
    MiproV2Spec,
    OptimizerSpec,
    RandomSearchSpec,
    SimbaSpec,
)
from domain.pricing import Usage
from domain.prompt import PromptParameters, PromptStep, PromptVersion
from resources.dspy_runtime.calls import Completer
from resources.dspy_runtime.journal import JournalStore
from resources.dspy_runtime.progress import Progress
from resources.dspy_runtime.results import OptimizationResult
from resources.dspy_runtime.run import optimize
from resources.llm.types import CallContext, Completion, FinishReason, Request

LABELS = ("billing", "delivery", "refund")
WORDS = ("amber", "basil", "cedar", "dahlia", "elder", "fennel", "ginger", "hazel", "iris", "jasmine")
CONTRACT = ChoiceContract(choices=list(LABELS))
FIELD_MARK = "[[ ## "
JSON_MARK = "Respond with a JSON object"
THREADS = 4
COST_NANO_USD = 5
RUN_ID = "r" * 64

# Every optimizer that asks something, at a small scale.
SEARCHES: list[OptimizerSpec] = [
    BootstrapFewShotSpec(max_bootstrapped=3, max_labeled=5, max_rounds=2, threads=THREADS),
    RandomSearchSpec(candidates=4, max_bootstrapped=2, max_labeled=5, threads=THREADS),
    CoproSpec(breadth=3, depth=3, threads=THREADS),
    MiproV2Spec(max_bootstrapped=2, max_labeled=2, threads=THREADS),
    SimbaSpec(steps=2, batch_rows=8, candidates=3, train_rows=16, threads=THREADS),
    GepaSpec(max_rows=160, threads=THREADS),
    ChainSpec(
        stages=(
            BootstrapFewShotSpec(max_bootstrapped=2, max_labeled=3, threads=THREADS),
            GepaSpec(max_rows=110, threads=THREADS),
        )
    ),
]


def label_of(word: str) -> str:
    """The hidden rule: nothing in a row but its label says this."""
    return LABELS[WORDS.index(word) % len(LABELS)]


def make_rows(split: Split, count: int) -> list[Row]:
    rows: list[Row] = []
    for number in range(count):
        word = WORDS[(number * 7) % len(WORDS)]
        text = f"canary-{split}-{number} about {word}"
        rows.append(Row(f"{split}-{number}", {"text": text}, label_of(word), split, f"{split}-input-{number}"))
    return rows


def ticket_prompt(temperature: float = 0.0, **step: Any) -> PromptVersion:
    fields: dict[str, Any] = {
        "name": "label",
        "system_prompt": "Sort the ticket: billing, delivery or refund.\n",
        "output_prompt": "Ticket: {{ text }}",
        "output": CONTRACT,
    }
    return PromptVersion(
        steps=(PromptStep(**{**fields, **step}),),
        model="openai/scripted",
        parameters=PromptParameters(temperature=temperature, max_output_tokens=16),
    )


def metric() -> Evaluator:
    return ExactMatch(ExactMatchSpec(), CONTRACT)


class ScriptedModel:
    """Knows a word's label only from a demonstration with that word; writes instructions when it is asked to.

    Without one it says something that breaks the contract for every third ticket, else the first label; asked for
    another draw, it is sometimes lucky.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.contexts: list[CallContext] = []
        self._lock = threading.Lock()

    def __call__(self, request: Request, context: CallContext) -> Completion:
        with self._lock:
            self.requests.append(request)
            self.contexts.append(context)
            number = len(self.requests)
        return completion(self.text(request), number, request.model)

    @property
    def asked(self) -> list[tuple[Request, CallContext]]:
        """Every call so far, with its context; other threads may be about to add one."""
        with self._lock:
            return list(zip(self.requests, self.contexts, strict=True))

    def text(self, request: Request) -> str:
        question = request.messages[-1].content
        if JSON_MARK in question:
            return json.dumps({name: self.rule(request) for name in re.findall(r"`(\w+)`", last_line(question))})
        return self.proposal(request) if FIELD_MARK in question else self.label(request)

    def label(self, request: Request) -> str:
        question = request.messages[-1].content
        word = next(word for word in WORDS if word in question)
        first = request.messages[0]
        system = first.content if first.role == "system" else ""
        if LABELS[0] not in system:
            return f"about {word}"  # a step that is no classification
        turns = request.messages[1:-1]
        for asked, answered in zip(turns[::2], turns[1::2], strict=True):
            if word in asked.content:
                return answered.content
        if "Rule" in system and word < "d":
            return label_of(word)
        if request.sample and (request.sample // 1_000 + WORDS.index(word)) % 3 == 0:
            return label_of(word)
        return "hard to say" if re.search(r"[258] about", question) else LABELS[0]

    def proposal(self, request: Request) -> str:
        question = request.messages[-1].content
        wanted = re.findall(r"`\[\[ ## (\w+) ## ]]`", question)
        fields = [f"[[ ## {name} ## ]]\n{self.field(name, request)}" for name in wanted if name != "completed"]
        return "\n".join([*fields, "[[ ## completed ## ]]"])

    def field(self, name: str, request: Request) -> str:
        if name != "module_advice":
            return self.rule(request)
        names = re.findall(r'"(steps\[\d])"', request.messages[-1].content.partition("## module_names ##")[2])
        return json.dumps(dict.fromkeys(names, self.rule(request)))

    def rule(self, request: Request) -> str:
        return f"Rule {request.sample or 0}"


def is_proposal(request: Request) -> bool:
    """Whether an optimizer asks for instructions, and not a step for an answer."""
    return any(mark in request.messages[-1].content for mark in (FIELD_MARK, JSON_MARK))


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def completion(text: str, number: int, model: str, finish_reason: FinishReason = "stop") -> Completion:
    usage = Usage(input_tokens=7, output_tokens=3)
    cost = COST_NANO_USD
    return Completion(
        text, "ok", f"call-{number}", model, usage, cost, 0.0, 1, origin_cost_nano_usd=cost, finish_reason=finish_reason
    )


class MemoryJournal:
    """Keeps answers as long as the test lives; they survive every kill but the test's own end."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any]] = {}

    def load_all(self, run_id: str) -> dict[str, dict[str, Any]]:
        return dict(self.answers)

    def put(self, run_id: str, key: str, answer: dict[str, Any]) -> None:
        self.answers.setdefault(key, answer)


@cache
def undisturbed(kind: str) -> tuple[ScriptedModel, OptimizationResult]:
    """The run of `SEARCHES`' optimizer of that kind, made once per process, and the model it asked."""
    model = ScriptedModel()
    return model, run(next(spec for spec in SEARCHES if spec.kind == kind), model)


def run(
    spec: OptimizerSpec,
    model: Completer,
    journal: JournalStore | None = None,
    *,
    prompt: PromptVersion | None = None,
    train: list[Row] | None = None,
    dev: list[Row] | None = None,
    evaluator: Evaluator | AskingSpec | None = None,
    budget_left: Callable[[], bool] = lambda: True,
    progress: Progress | None = None,
) -> OptimizationResult:
    return optimize(
        prompt or ticket_prompt(),
        make_rows(Split.TRAIN, 30) if train is None else train,
        make_rows(Split.DEV, 20) if dev is None else dev,
        spec,
        evaluator or metric(),
        model,
        journal or MemoryJournal(),
        run_id=RUN_ID,
        task="tickets",
        dataset_version_id="d" * 64,
        scopes=("day", "task:tickets"),
        run_budget_left=budget_left,
        progress=progress,
    )
