"""Lua scripts of the Redis store: what one is, and what each of them begins with.

All keys of a namespace share one hash tag, `{namespace}:…`, so that a cluster keeps them in one slot. A script names
that tag as its only key and derives the others from it. Amounts are 64-bit integers on the server (`HINCRBY`) and
doubles only where they are compared; times are doubles written with 17 digits. Neither loses anything.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

FORMAT = "1"
LOST = "LOSTDATA"

# A server that lost its data (restarted without persistence, flushed) has forgotten caps and spend. It says so, instead
# of admitting what the caps forbid, until a process opens it again.
_PRELUDE = """
local root = KEYS[1]
local function key(name) return root .. ':' .. name end
local function text(number) return string.format('%.17g', number) end
local function whole(number) return string.format('%.0f', number) end
"""
_SAME_DATA = f"""
if redis.call('GET', key('epoch')) ~= ARGV[1] then return redis.error_reply('{LOST} another epoch') end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic step. `ARGV[1]` is always the epoch: the mark of the data that the caller opened.

    Attributes:
        sha: its name on the server.
        checks_epoch: False only for the script that opens.
    """

    name: str
    body: str
    checks_epoch: bool = True
    source: str = field(init=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        source = _PRELUDE + (_SAME_DATA if self.checks_epoch else "") + self.body
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "sha", hashlib.sha1(source.encode()).hexdigest())  # noqa: S324 - Redis names scripts so
