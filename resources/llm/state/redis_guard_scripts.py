"""The scripts of an attempt: `admission.admit` and `settling.settle` in Lua, and taking back what never was sent."""

from __future__ import annotations

from resources.llm.state.redis_lua_parts import BREAKER, INTENTS, MODELS, SCOPES
from resources.llm.state.redis_script import Script

# ARGV: 2 attempt id, 3 intent, 4 now, 5 newest expired slot, 6 requests and 7 tokens per minute ('' = unlimited),
# 8 seconds a breaker stays open, 9 until when a probe is exclusive.
# Answers with what decided; why and for how long is worked out by the caller, with the same rules as other stores.
ADMIT = Script(
    "admit",
    SCOPES
    + MODELS
    + INTENTS
    + """
local id, now, expired = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local requests_limit, tokens_limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local intent = parse_intent(ARGV[3])
local model = read_model(intent.model)
local slots = key('slots:' .. intent.model)

if redis.call('HEXISTS', key('intents'), id) == 1 then
    return {'admitted', model.probe == id and 1 or 0}
end

local probing = false
if model.state ~= 'closed' then
    if model.state == 'open' and now < tonumber(model.opened_at) + tonumber(ARGV[8]) then
        return {'open', model.opened_at}
    end
    if model.probe and now < tonumber(model.probe_until) then return {'probing', model.probe_until} end
    probing = true
end

local function fits(requests, tokens)
    return (not requests_limit or requests + 1 <= requests_limit)
        and (not tokens_limit or tokens + intent.tokens <= tokens_limit)
end

local function fits_now()
    if not requests_limit and not tokens_limit then return true end
    local requests, tokens = 0, 0
    local counted = redis.call('HGETALL', slots)
    for i = 1, #counted, 2 do
        if tonumber(counted[i]) > expired then
            local slot_requests, slot_tokens = string.match(counted[i + 1], '(%S+) (%S+)')
            requests, tokens = requests + slot_requests, tokens + slot_tokens
        end
    end
    return fits(requests, tokens)
end

if not fits(0, 0) then return {'impossible'} end
if tonumber(model.paused_until) > now or not fits_now() then
    return {'limited', model.paused_until, redis.call('HGETALL', slots)}
end

local held = false
for _, scope in ipairs(read_scopes(intent.scopes)) do
    local spent = tonumber(scope.settled) + tonumber(scope.ambiguous)
    local asked = tonumber(intent.reserve)
    if scope.frozen or (scope.cap and spent + asked > scope.cap) then
        return {'refused', scope.name, scope.cap and whole(scope.cap) or '', scope.settled, scope.ambiguous,
            scope.reserved, scope.frozen and 1 or 0}
    end
    held = held or (scope.cap and spent + tonumber(scope.reserved) + asked > scope.cap)
end
if held then return {'held'} end

local slot = whole(intent.slot)
local counted = redis.call('HGET', slots, slot)
local requests, tokens = 0, 0
if counted then
    requests, tokens = string.match(counted, '(%S+) (%S+)')
else
    redis.call('SADD', key('asked'), intent.model)
    for _, start in ipairs(redis.call('HKEYS', slots)) do
        if tonumber(start) <= expired then redis.call('HDEL', slots, start) end
    end
end
redis.call('HSET', slots, slot, whole(requests + 1) .. ' ' .. whole(tokens + intent.tokens))
for _, scope in ipairs(intent.scopes) do reserve(scope, intent.reserve) end
redis.call('HSET', key('intents'), id, ARGV[3])
redis.call('SADD', key('owned:' .. intent.owner), id)
if string.sub(intent.owner, 1, 5) ~= 'hold:' then
    redis.call('ZADD', key('owners'), 'NX', ARGV[4], intent.owner)
end
if probing then
    if model.state ~= 'half_open' then model.successes = 0 end
    model.state, model.probe, model.probe_owner, model.probe_until = 'half_open', id, intent.owner, ARGV[9]
    write_model(intent.model, model)
end
return {'admitted', probing and 1 or 0}
""",
)

# ARGV: 2 attempt id, 3 charge, 4 cost, 5 tokens used ('' = unknown), 6 health, 7 record, 8 record if this is an overrun
# ('' = not given), 9 until when to pause ('' = not), 10 now, 11 breaker policy as JSON, 12 ambiguous beside the cost.
# A bill above the reserve needs a record that says so, which the caller writes: then the answer is `amend`.
SETTLE = Script(
    "settle",
    SCOPES
    + MODELS
    + INTENTS
    + BREAKER
    + """
local id, charge, cost, used, now = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[10])
local held = read_intent(id)
if not held then return {'unknown'} end

local settled, ambiguous, record, overrun = '0', '0', ARGV[7], charge == 'overrun'
if charge == 'ambiguous' then
    ambiguous = held.reserve
elseif charge ~= 'free' then
    settled, ambiguous = cost, ARGV[12]
    if charge == 'settled' and tonumber(cost) > tonumber(held.reserve) then
        if ARGV[8] == '' and record ~= '' then return {'amend'} end
        record, overrun = ARGV[8], true
    end
end
for _, scope in ipairs(held.scopes) do
    add('s:', scope, settled)
    add('a:', scope, ambiguous)
    give_back(scope, held.reserve)
end
local frozen = {}
if overrun then
    for _, scope in ipairs(read_scopes(held.scopes)) do
        if scope.cap and not scope.frozen then
            frozen[#frozen + 1] = scope.name
            redis.call('HSET', key('scopes'), 'f:' .. scope.name, '1')
        end
    end
end
drop_intent(id, held.owner)
if record ~= '' then put_record(id, record) end

if used and used ~= held.tokens then
    local slots, slot = key('slots:' .. held.model), whole(held.slot)
    local counted = redis.call('HGET', slots, slot)
    if counted then
        local requests, tokens = string.match(counted, '(%S+) (%S+)')
        redis.call('HSET', slots, slot, requests .. ' ' .. whole(tokens + used - held.tokens))
    end
end

local model = read_model(held.model)
local before = model.state
local changed = learn(model, cjson.decode(ARGV[11]), id, ARGV[6], now)
if ARGV[9] ~= '' and tonumber(ARGV[9]) > tonumber(model.paused_until) then
    model.paused_until, changed = ARGV[9], true
end
if changed then write_model(held.model, model) end
return {'settled', held.model, before, model.state, frozen}
""",
)

# ARGV: attempt ids whose admission may have happened although its caller was told it had not.
WITHDRAW = Script(
    "withdraw",
    SCOPES
    + MODELS
    + INTENTS
    + """
for i = 2, #ARGV do
    local id = ARGV[i]
    local held = read_intent(id)
    if held then
        for _, scope in ipairs(held.scopes) do give_back(scope, held.reserve) end
        drop_intent(id, held.owner)
        local model = read_model(held.model)
        if model.probe == id then
            release_probe(model)
            write_model(held.model, model)
        end
    end
end
return {}
""",
)
