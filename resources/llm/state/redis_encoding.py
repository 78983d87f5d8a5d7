"""Values on their way to the Redis scripts and back, without losing a digit."""

from __future__ import annotations

import json
from collections.abc import Sequence

from domain.errors import ConfigurationError
from resources.llm.state.protocol import BreakerPolicy, Intent
from resources.llm.state.rules_budget import lost_record
from resources.llm.state.rules_limiter import slot_at

# Scripts compare amounts as doubles. Up to here a cap and a reserve are exact, and a total above rounds to no less.
MOST_NANO_USD = 2**53 - 1


def number(value: float) -> bytes:
    """A time or a count; Lua reads back the same double."""
    return repr(value).encode()


def amount(nano_usd: int, field: str) -> bytes:
    """An amount of nano-USD.

    Raises:
        ConfigurationError: it is above 2^53 - 1 (9 million USD), which scripts could not compare exactly.
    """
    if nano_usd > MOST_NANO_USD:
        raise ConfigurationError(
            f"{nano_usd} nano-USD is more than the Redis state store can compare exactly.",
            field=field,
            mend=f"Stay at or below {MOST_NANO_USD / 1e9:,.0f} USD, or set no cap.",
        )
    return str(nano_usd).encode()


def optional(value: float | None) -> bytes:
    """A number that may be missing."""
    return b"" if value is None else number(value)


def encode_policy(policy: BreakerPolicy) -> bytes:
    """What the settling script needs of the breaker's policy."""
    fields = {
        "consecutive_faults": policy.consecutive_faults,
        "successes_to_close": policy.successes_to_close,
        "window_s": policy.error_rate_window_s,
        "min_calls": policy.error_rate_min_calls,
    }
    if policy.error_rate is not None:
        fields["error_rate"] = policy.error_rate
    return json.dumps(fields).encode()


def encode_intent(intent: Intent, now: float) -> bytes:
    """A line of JSON for the scripts, then the ledger record as it is.

    Raises:
        ConfigurationError: the reserve is above what can be compared exactly.
    """
    line = [
        intent.model,
        intent.owner,
        amount(intent.reserve_nano_usd, "max_output_tokens").decode(),
        intent.tokens,
        slot_at(now),
        list(dict.fromkeys(intent.scopes)),
    ]
    return f"{json.dumps(line)}\n{intent.record}".encode()


def owner_and_record(stored: bytes) -> tuple[str, str]:
    """The owner and the ledger record of a stored intent."""
    line, _, record = stored.decode().partition("\n")
    return json.loads(line)[1], record


def lost_records(left_open: Sequence[bytes]) -> list[bytes]:
    """Ids and intents, alternating, to ids and the records of attempts whose maker died; oldest first.

    Raises:
        ValueError: a record is not a JSON object.
    """
    parsed = []
    for attempt_id, stored in zip(left_open[::2], left_open[1::2], strict=True):
        line, _, record = stored.decode().partition("\n")
        _, _, reserve, _, slot, _ = json.loads(line)
        parsed.append((slot, attempt_id, lost_record(record, int(reserve))))
    return [each for _, attempt_id, record in sorted(parsed) for each in (attempt_id, record.encode())]
