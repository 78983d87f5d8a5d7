"""Scripts for people and the ledger: caps, breakers, the state of everything, totals anew, the outbox."""

from __future__ import annotations

from resources.llm.state.redis_lua_parts import INTENTS, MODELS, SCOPES
from resources.llm.state.redis_script import Script

# ARGV: 2 name, 3 cap ('' = lifted).
SET_CAP = Script("set_cap", "redis.call('HSET', key('caps'), ARGV[2], ARGV[3])\nreturn {}\n")

CAPS = Script("caps", "return redis.call('HGETALL', key('caps'))\n")

# ARGV: 2 scope.
UNFREEZE = Script("unfreeze", "redis.call('HDEL', key('scopes'), 'f:' .. ARGV[2])\nreturn {}\n")

# ARGV: 2 model, 3 state, 4 when it opened.
SET_BREAKER = Script(
    "set_breaker",
    MODELS
    + """
local model = read_model(ARGV[2])
local before = model.state
reset_breaker(model, ARGV[3], ARGV[4], 0)
write_model(ARGV[2], model)
return {before}
""",
)

SCOPE_STATES = Script("scopes", "return {redis.call('HGETALL', key('scopes')), redis.call('HGETALL', key('caps'))}\n")

# ARGV: models whose slots are wanted.
MODEL_STATES = Script(
    "models",
    """
local slots = {}
for i = 2, #ARGV do slots[i - 1] = redis.call('HGETALL', key('slots:' .. ARGV[i])) end
return {redis.call('HGETALL', key('models')), redis.call('SMEMBERS', key('asked')), slots}
""",
)

# An intent that the server does not have is opened; who opened it anew counts its reserve.
_OPEN_ANEW = """
local function open_anew(id, stored)
    if redis.call('HEXISTS', key('intents'), id) == 1 then return nil end
    local held = parse_intent(stored)
    redis.call('HSET', key('intents'), id, stored)
    redis.call('SADD', key('owned:' .. held.owner), id)
    return held
end
"""

# ARGV: ids and intents that a process has under way and the server lost.
RECLAIM = Script(
    "reclaim",
    SCOPES
    + INTENTS
    + _OPEN_ANEW
    + """
for i = 2, #ARGV, 2 do
    local held = open_anew(ARGV[i], ARGV[i + 1])
    if held then
        for _, scope in ipairs(held.scopes) do reserve(scope, held.reserve) end
    end
end
return {}
""",
)

# ARGV: 2 how many of the next tell of holds, then ids and intents of holds, then scope, settled, ambiguous, repeated.
REBUILD = Script(
    "rebuild",
    SCOPES
    + INTENTS
    + _OPEN_ANEW
    + """
for _, field in ipairs(redis.call('HKEYS', key('scopes'))) do
    if string.sub(field, 1, 2) ~= 'f:' then redis.call('HSET', key('scopes'), field, '0') end
end
local totals = 3 + tonumber(ARGV[2])
for i = 3, totals - 1, 2 do open_anew(ARGV[i], ARGV[i + 1]) end
for i = totals, #ARGV, 3 do
    add('s:', ARGV[i], ARGV[i + 1])
    add('a:', ARGV[i], ARGV[i + 2])
    reserve(ARGV[i], '0')
end
for _, stored in ipairs(redis.call('HVALS', key('intents'))) do
    local held = parse_intent(stored)
    for _, scope in ipairs(held.scopes) do reserve(scope, held.reserve) end
end
return {}
""",
)

# ARGV: 2 how many at most. Answers with ids and records, oldest first.
TAKE = Script(
    "take_outbox",
    """
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('outbox:order'), '-inf', '+inf', 'LIMIT', 0, ARGV[2])) do
    taken[#taken + 1] = id
    taken[#taken + 1] = redis.call('HGET', key('outbox'), id)
end
return taken
""",
)

# ARGV: attempt ids.
ACKNOWLEDGE = Script(
    "acknowledge_outbox",
    """
for i = 2, #ARGV do
    redis.call('HDEL', key('outbox'), ARGV[i])
    redis.call('ZREM', key('outbox:order'), ARGV[i])
end
return {}
""",
)
