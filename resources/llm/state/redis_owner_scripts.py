"""Scripts about the processes that use the store: opening, heartbeats, and booking what the dead left open."""

from __future__ import annotations

from resources.llm.state.redis_lua_parts import INTENTS, MODELS, SCOPES
from resources.llm.state.redis_script import Script

# ARGV: 1 the epoch to begin where there is none, 2 owner, 3 now, 4 since when silence means death, then caps as pairs.
OPEN = Script(
    "open",
    """
local function format(epoch) return string.match(epoch, '^[^-]*') end
redis.call('SET', key('epoch'), ARGV[1], 'NX')
local epoch = redis.call('GET', key('epoch'))
if format(epoch) ~= format(ARGV[1]) then return {epoch, {}} end
for i = 5, #ARGV, 2 do
    local name, cap = ARGV[i], ARGV[i + 1]
    if redis.call('HGET', key('configured'), name) ~= cap then
        redis.call('HSET', key('configured'), name, cap)
        redis.call('HSET', key('caps'), name, cap)
    end
end
redis.call('ZADD', key('owners'), ARGV[3], ARGV[2])
return {epoch, redis.call('ZRANGEBYSCORE', key('owners'), '-inf', ARGV[4])}
""",
    checks_epoch=False,
)

# ARGV: 2 owner, 3 now, 4 since when silence means death, 5 until when its probes and leads hold, then its leads' keys.
# Leads are named because the owner may hold one it never heard of: the answer that gave it was lost on the way. Nobody
# will ever fill that one, so it must run out.
RENEW = Script(
    "renew",
    MODELS
    + """
local owner, till = ARGV[2], ARGV[5]
redis.call('ZADD', key('owners'), ARGV[3], owner)
for _, name in ipairs(redis.call('HKEYS', key('models'))) do
    local model = read_model(name)
    if model.probe_owner == owner then
        model.probe_until = till
        write_model(name, model)
    end
end
for i = 6, #ARGV do
    local token, leader = string.match(redis.call('HGET', key('leads'), ARGV[i]) or '', '^%S+ (%S+) (.*)$')
    if leader == owner then redis.call('HSET', key('leads'), ARGV[i], till .. ' ' .. token .. ' ' .. leader) end
end
return redis.call('ZRANGEBYSCORE', key('owners'), '-inf', ARGV[4])
""",
)

OPEN_INTENTS = Script("open_intents", "return redis.call('HVALS', key('intents'))\n")

# ARGV: 2 owner, 3 since when silence means death ('' = it leaves by itself), then attempt ids and their lost records.
# Answers with what is still open, as ids and intents; once nothing is, the owner is deregistered.
BURY = Script(
    "bury",
    SCOPES
    + MODELS
    + INTENTS
    + """
local owner, limit = ARGV[2], tonumber(ARGV[3])
local seen = tonumber(redis.call('ZSCORE', key('owners'), owner) or '')
if limit and (not seen or seen > limit) then return {} end

for i = 4, #ARGV, 2 do
    local id = ARGV[i]
    local held = read_intent(id)
    if held then
        for _, scope in ipairs(held.scopes) do
            add('a:', scope, held.reserve)
            give_back(scope, held.reserve)
        end
        drop_intent(id, held.owner)
        put_record(id, ARGV[i + 1])
        local model = read_model(held.model)
        if model.probe == id then
            release_probe(model)
            write_model(held.model, model)
        end
    end
end

local left = {}
for _, id in ipairs(redis.call('SMEMBERS', key('owned:' .. owner))) do
    left[#left + 1] = id
    left[#left + 1] = redis.call('HGET', key('intents'), id)
end
if #left > 0 then return left end
redis.call('ZREM', key('owners'), owner)
local leads = redis.call('HGETALL', key('leads'))
for i = 1, #leads, 2 do
    if string.match(leads[i + 1], '^%S+ %S+ (.*)$') == owner then redis.call('HDEL', key('leads'), leads[i]) end
end
return {}
""",
)
