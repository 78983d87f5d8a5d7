"""A task whose production prompt shows four examples of every mark, where one would do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from loop.workplace import INGEST, TASK, Example, Workplace, over_http
from servers.openai_server import OpenAIServer

from domain.prompt import Demonstration
from resources.database.repositories import aliases, prompt_versions
from resources.evaluation.promote import PRODUCTION

ROWS = 150
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WASTEFUL = [Example(number) for number in range(10_000, 10_024)]
UNCACHED = {"cache": {"enabled": False}}


def make_rich(make_workplace: Callable[..., Workplace], server: OpenAIServer, **task: Any) -> Workplace:
    """A workplace without the response cache, its dataset read and the wasteful prompt in production."""
    place = make_workplace(ROWS, over_http(server, **UNCACHED), model="openai/scripted", **task)
    return enrich(place)


def enrich(place: Workplace) -> Workplace:
    """Read the dataset, and put the wasteful prompt into production."""
    place.run(*INGEST)
    with place.database() as database, database.session() as session:
        authored = prompt_versions.get(session, TASK, PRODUCTION).prompt
        shown = tuple(Demonstration(inputs={"text": one.text}, output=one.label) for one in WASTEFUL)
        rich = authored.with_steps((authored.steps[0].model_copy(update={"demonstrations": shown}),))
        made = prompt_versions.register(session, TASK, rich, created_by="test", now=NOW, parent_id=authored.id)
        aliases.move(
            session, TASK, PRODUCTION, made.id, expected_revision=1, moved_by="gate", reason="won", now=NOW, kind="gate"
        )
    return place
