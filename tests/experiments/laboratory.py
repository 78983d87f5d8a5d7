"""A task with two prompt versions, experiments on it, and traffic made up by a seeded generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from experiments.designs import experiment

from domain.experiment.spec import Experiment
from domain.prompt import Demonstration
from domain.task import Task
from resources.database.repositories import aliases, interactions, outcomes, prompt_versions, tasks
from resources.database.repositories.interactions import InteractionRecord
from resources.database.repositories.outcomes import OutcomeRecord
from resources.database.session import Database
from resources.experiments.lifecycle import start
from resources.experiments.started import Started

START = datetime(2026, 11, 1, tzinfo=UTC)
TASK = "tickets"


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


def task(model: str = "offline/nearest") -> Task:
    return Task.model_validate(
        {
            "name": TASK,
            "dataset": {"source": "rows.csv", "inputs": ["text"], "output": "label"},
            "prompt": {
                "model": model,
                "parameters": {"max_output_tokens": 8},
                "system_prompt": "Choose the team.",
                "output_prompt": "Message: {{ text }}",
                "output": {"kind": "choice", "choices": ["billing", "delivery"]},
            },
            "evaluators": [{"kind": "choice_label"}],
        }
    )


@dataclass(frozen=True)
class Laboratory:
    """Versions v1 (in production), v2 and v3 of one task."""

    database: Database
    url: str
    model: str = "offline/nearest"

    def prepare(self) -> Laboratory:
        spec = task(self.model)
        first = spec.prompt.version()
        demonstrations = (
            Demonstration(inputs={"text": "My card was charged twice"}, output="billing"),
            Demonstration(inputs={"text": "Where is my parcel?"}, output="delivery"),
        )
        versions = [
            first,
            first.with_steps((first.steps[0].model_copy(update={"demonstrations": demonstrations}),)),
            first.with_steps((first.steps[0].model_copy(update={"system_prompt": "Sort the message."}),)),
        ]
        with self.database.session() as session:
            tasks.upsert_task(session, spec, source_path="tickets.yaml", now=START)
            for version in versions:
                prompt_versions.register(session, TASK, version, created_by="author", now=START)
            move = partial(aliases.move, session, TASK, "production", first.id, expected_revision=None)
            move(moved_by="author", reason="The first.", now=START)
        return self

    def version(self, reference: str) -> str:
        with self.database.session(read_only=True) as session:
            return prompt_versions.get(session, TASK, reference).id

    def production(self) -> str:
        return self.version("production")

    def start(self, spec: Experiment | None = None, now: datetime = START, **changes: Any) -> Started:
        return start(self.database, spec or experiment(**changes), started_by="test", now=now)[0]

    def traffic(
        self,
        started: Started,
        units: int,
        chance: Callable[[str], float],
        *,
        seed: int = 0,
        cost: Callable[[str], float] = lambda _variant: 1.0,
        every: timedelta = timedelta(minutes=1),
        names: Sequence[str] | None = None,
    ) -> None:
        """Units that are answered one after another, with an outcome half an hour later."""
        random = np.random.default_rng(seed)
        name, seen, came = started.experiment.name, [], []
        for number in range(units):
            unit = names[number] if names else f"user-{number}"
            variant, at = started.dealt(unit), START + every * (number + 1)
            seen.append(
                InteractionRecord(
                    experiment=name,
                    id=f"r{seed}-{number}",
                    unit_id=unit,
                    variant=variant,
                    prompt_version_id=started.prompt_version_id(variant),
                    call_id=f"c{seed}-{number}",
                    cost_nano_usd=int(1e6 * cost(variant) * random.lognormal(0, 0.3)),
                    latency_s=float(random.lognormal(-1, 0.3)),
                    answer=None,
                    at=at,
                    source="live",
                )
            )
            value = float(random.random() < chance(variant))
            then = at + timedelta(minutes=30)
            came.append(OutcomeRecord(name, f"unit:{unit}", unit, None, value, then, then, "live"))
        with self.database.session() as session:
            interactions.put_many(session, seen)
            outcomes.put_many(session, came)
