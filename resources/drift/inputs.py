"""Looking at the inputs of a production prompt: are they still the kind it got at first?

The measure is the length of the first step's request in tokens, which the ledger knows of every call; texts are kept
nowhere. The reference is a sample of the first days after the promotion, later samples do not overlap, and all looks
together share the α of the lengths. The test takes calls for independent; so samples are spread over all calls of at
least a day, and a shift must also be large (`drift.min_shift`) to count.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.errors import InputError
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.shift import compare_amounts
from domain.task import DriftSpec
from resources.database.repositories import input_checks
from resources.database.repositories.input_checks import InputCheck, Requests
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database

SHARE_OF_LENGTHS = 0.2
"""Of the task's drift α; half of it is for the scores, the rest for words and answers."""

BETWEEN_LOOKS = timedelta(days=1)
MOST_COMPARED = 4
"""Times `min_calls`: the requests of a look that are compared."""


def look_at_inputs(
    database: Database, production: PromptVersionRecord, promoted_at: datetime, drift: DriftSpec, now: datetime
) -> InputCheck | None:
    """The newest look, made now if it is time for one and there are calls enough; None as long as there is none.

    Raises:
        DatabaseUnavailableError: the ledger cannot be read.
    """
    with database.session(read_only=True) as session:
        reference, latest = input_checks.reference_and_latest(session, production.task, production.id)
        since = latest.until if latest else promoted_at
        if now - since < BETWEEN_LOOKS:
            return latest
        requests = Requests(production.task, production.id, production.prompt.steps[0].name, since, now)
        came = input_checks.count_requests(session, requests)
        if came < drift.min_calls:
            return latest
        tokens = input_checks.spread_tokens(session, requests, MOST_COMPARED * drift.min_calls, came)
    made = _look(production, reference, latest, tokens, drift, now)
    with database.session() as session:
        input_checks.save(session, made)
    return made


def _look(
    production: PromptVersionRecord,
    reference: InputCheck | None,
    latest: InputCheck | None,
    tokens: list[int],
    drift: DriftSpec,
    now: datetime,
) -> InputCheck:
    mean = sum(tokens) / len(tokens)
    if reference is None or latest is None:
        return InputCheck(production.task, production.id, 0, len(tokens), mean, 0.0, 1.0, 0.0, False, tokens, now)
    look = latest.look + 1
    alpha = alpha_for_look(drift.alpha * SHARE_OF_LENGTHS, look)
    try:
        shift = compare_amounts(reference.sample or [], tokens)
    except InputError:  # too few rows in a class: nothing can be said, and no alarm is the careful answer
        return InputCheck(production.task, production.id, look, len(tokens), mean, 0.0, 1.0, alpha, False, None, now)
    drifted = shift.p_value <= alpha and shift.distance >= drift.min_shift
    return InputCheck(
        task=production.task,
        prompt_version_id=production.id,
        look=look,
        rows=len(tokens),
        mean_tokens=mean,
        distance=shift.distance,
        p_value=shift.p_value,
        alpha=alpha,
        drifted=drifted,
        sample=None,
        until=now,
    )
