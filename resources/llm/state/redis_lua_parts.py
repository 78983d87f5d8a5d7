"""Lua functions that several scripts share: reading scopes, models and intents, and booking."""

from __future__ import annotations

# Totals are fields `s:` (settled), `a:` (ambiguous), `r:` (reserved) and `f:` (frozen) of one hash. A lifted cap is ''.
SCOPES = """
local function add(kind, scope, amount)
    if amount ~= '0' then redis.call('HINCRBY', key('scopes'), kind .. scope, amount) end
end

local function reserve(scope, amount)
    redis.call('HINCRBY', key('scopes'), 'r:' .. scope, amount)
end

local function give_back(scope, amount)
    if amount ~= '0' then redis.call('HINCRBY', key('scopes'), 'r:' .. scope, '-' .. amount) end
end

local function lower(one, other)
    if one and other then return math.min(one, other) end
    return one or other
end

local function read_scopes(names)
    if #names == 0 then return {} end
    local fields, caps = {}, {}
    for _, scope in ipairs(names) do
        for _, kind in ipairs({'s:', 'a:', 'r:', 'f:'}) do fields[#fields + 1] = kind .. scope end
        caps[#caps + 1] = scope
        caps[#caps + 1] = string.match(scope, '^(day):.') or string.match(scope, '^(month):.') or scope
    end
    local totals = redis.call('HMGET', key('scopes'), unpack(fields))
    local limits = redis.call('HMGET', key('caps'), unpack(caps))
    local scopes = {}
    for i, scope in ipairs(names) do
        scopes[i] = {
            name = scope,
            settled = totals[4 * i - 3] or '0',
            ambiguous = totals[4 * i - 2] or '0',
            reserved = totals[4 * i - 1] or '0',
            frozen = totals[4 * i] == '1',
            cap = lower(tonumber(limits[2 * i - 1] or ''), tonumber(limits[2 * i] or '')),
        }
    end
    return scopes
end
"""

# A model that was never at fault has no entry. Times are kept as text: cjson writes numbers with 14 digits only.
MODELS = """
local function read_model(name)
    local stored = redis.call('HGET', key('models'), name)
    if not stored then
        return {state = 'closed', faults = 0, successes = 0, opened_at = '0', probe_until = '0', paused_until = '0',
            recent = {}}
    end
    local model = cjson.decode(stored)
    model.recent = model.recent or {}
    return model
end

local function write_model(name, model)
    if #model.recent == 0 then model.recent = nil end
    redis.call('HSET', key('models'), name, cjson.encode(model))
    model.recent = model.recent or {}
end

local function release_probe(model)
    model.probe, model.probe_owner, model.probe_until = nil, nil, '0'
end

local function reset_breaker(model, state, opened_at, faults)
    release_probe(model)
    model.state, model.opened_at, model.faults, model.successes, model.recent = state, opened_at, faults, 0, {}
end
"""

# An intent is a line of JSON, which its maker wrote, and the ledger record as it is.
INTENTS = """
local function parse_intent(stored)
    local ends = string.find(stored, '\\n', 1, true)
    local line = cjson.decode(string.sub(stored, 1, ends - 1))
    return {
        model = line[1], owner = line[2], reserve = line[3], tokens = line[4], slot = line[5], scopes = line[6],
        record = string.sub(stored, ends + 1),
    }
end

local function read_intent(id)
    local stored = redis.call('HGET', key('intents'), id)
    return stored and parse_intent(stored)
end

local function drop_intent(id, owner)
    redis.call('HDEL', key('intents'), id)
    redis.call('SREM', key('owned:' .. owner), id)
end

local function put_record(id, record)
    redis.call('HSET', key('outbox'), id, record)
    redis.call('ZADD', key('outbox:order'), redis.call('HINCRBY', key('counts'), 'records', 1), id)
end
"""

# Like `rules_breaker.learn`, on a table that it changes; tells whether it did.
BREAKER = """
local RATE_SLOTS = 12

local function with_outcome(recent, policy, fault, now)
    if not policy.error_rate then return {} end
    local slot = math.floor(now / (policy.window_s / RATE_SLOTS))
    local kept = {}
    for _, entry in ipairs(recent) do
        if tonumber(entry[1]) > slot - RATE_SLOTS then kept[#kept + 1] = entry end
    end
    local newest = kept[#kept]
    if not newest or tonumber(newest[1]) ~= slot then
        newest = {whole(slot), 0, 0}
        kept[#kept + 1] = newest
    end
    newest[2] = newest[2] + 1
    if fault then newest[3] = newest[3] + 1 end
    return kept
end

local function rate_is_too_high(recent, policy)
    local calls, faults = 0, 0
    for _, entry in ipairs(recent) do
        calls, faults = calls + entry[2], faults + entry[3]
    end
    if not policy.error_rate or calls < policy.min_calls then return false end
    return faults / calls >= policy.error_rate
end

local function learn_closed(model, policy, health, now)
    if health == 'neutral' then return false end
    local fault = health == 'fault'
    local faults = fault and model.faults + 1 or 0
    local had_recent = #model.recent > 0
    local recent = with_outcome(model.recent, policy, fault, now)
    if faults >= policy.consecutive_faults or (fault and rate_is_too_high(recent, policy)) then
        reset_breaker(model, 'open', text(now), faults)
        return true
    end
    local changed = faults ~= model.faults or had_recent or #recent > 0
    model.faults, model.recent = faults, recent
    return changed
end

local function learn_probe(model, policy, health, now)
    release_probe(model)
    if health == 'fault' then
        reset_breaker(model, 'open', text(now), model.faults + 1)
    elseif health == 'success' then
        model.successes = model.successes + 1
        if model.successes >= policy.successes_to_close then reset_breaker(model, 'closed', '0', 0) end
    end
    return true
end

local function learn(model, policy, id, health, now)
    if model.state == 'closed' then return learn_closed(model, policy, health, now) end
    if model.state == 'half_open' and model.probe == id then return learn_probe(model, policy, health, now) end
    return false
end
"""
