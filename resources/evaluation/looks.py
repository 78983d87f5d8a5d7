"""Recording a decision as the next look at a task's test rows."""

from __future__ import annotations

from collections.abc import Callable

from domain.errors import ConflictError
from resources.database.repositories import gate_decisions
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.session import Database

MAX_RACES = 5


def find_decision(database: Database, decision_id: str) -> GateDecisionRecord | None:
    """The decision with exactly that id."""
    with database.session(read_only=True) as session:
        return gate_decisions.find(session, decision_id)


def record_at_next_look(
    database: Database, task: str, decision_id: str, decide: Callable[[int], GateDecisionRecord]
) -> GateDecisionRecord:
    """The decision that `decide` makes at the task's next look; one recorded under its id already is given instead.

    Raises:
        ConflictError: other decisions of the task kept taking the look.
    """
    for _ in range(MAX_RACES):
        with database.session(read_only=True) as session:
            known = gate_decisions.find(session, decision_id)
            look = gate_decisions.looks(session, task) + 1
        if known is not None:
            return known
        try:
            with database.session() as session:
                return gate_decisions.record(session, decide(look))
        except ConflictError:
            continue
    raise ConflictError("other decisions of this task kept taking the next look", mend="try again.")
