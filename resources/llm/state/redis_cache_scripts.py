"""Scripts of the response cache: TTL, LRU bound, one leader per key across machines. `MemoryCache` in Lua.

Expiry follows the callers' clocks, as everywhere in the store, so the server's own expiry is not used; the bound on
entries keeps what nobody asks for from piling up. A lead is kept as `until token owner`.
"""

from __future__ import annotations

from resources.llm.state.redis_script import Script

_DROP = """
local function drop(entry)
    redis.call('HDEL', key('cache'), entry)
    redis.call('ZREM', key('cache:expires'), entry)
    redis.call('ZREM', key('cache:used'), entry)
end

local function use(entry)
    redis.call('ZADD', key('cache:used'), redis.call('HINCRBY', key('counts'), 'uses', 1), entry)
end
"""

# ARGV: 2 key, 3 owner, 4 token of this question (who asks again for want of an answer gets the same), 5 lead until,
# 6 now.
LOOKUP = Script(
    "cache_lookup",
    _DROP
    + """
local entry, owner, token, now = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local expires = tonumber(redis.call('ZSCORE', key('cache:expires'), entry) or '')
if expires and expires > now then
    use(entry)
    redis.call('HINCRBY', key('counts'), 'hits', 1)
    return {'hit', redis.call('HGET', key('cache'), entry)}
end
if expires then drop(entry) end
local till, holder = string.match(redis.call('HGET', key('leads'), entry) or '', '^(%S+) (%S+)')
if till and tonumber(till) > now then return {holder == token and 'lead' or 'follow'} end
redis.call('HSET', key('leads'), entry, ARGV[5] .. ' ' .. token .. ' ' .. owner)
redis.call('HINCRBY', key('counts'), 'misses', 1)
return {'lead'}
""",
)

# ARGV: 2 key, 3 value, 4 expires, 5 most entries.
FILL = Script(
    "cache_fill",
    _DROP
    + """
local entry = ARGV[2]
redis.call('HSET', key('cache'), entry, ARGV[3])
redis.call('ZADD', key('cache:expires'), ARGV[4], entry)
use(entry)
redis.call('HDEL', key('leads'), entry)
for _ = 1, redis.call('ZCARD', key('cache:used')) - tonumber(ARGV[5]) do
    drop(redis.call('ZRANGE', key('cache:used'), 0, 0)[1])
end
return {}
""",
)

# ARGV: 2 key, 3 owner.
ABANDON = Script(
    "cache_abandon",
    """
local owner = string.match(redis.call('HGET', key('leads'), ARGV[2]) or '', '^%S+ %S+ (.*)$')
if owner == ARGV[3] then redis.call('HDEL', key('leads'), ARGV[2]) end
return {}
""",
)

CLEAR = Script(
    "cache_clear",
    """
local count = redis.call('HLEN', key('cache'))
redis.call('UNLINK', key('cache'), key('cache:expires'), key('cache:used'))
return {count}
""",
)

_IN_NAMESPACE = """
local function within(entry, namespace) return (string.match(entry, '^(.*):') or '') == namespace end
"""

# ARGV: 2 namespace.
CLEAR_NAMESPACE = Script(
    "cache_clear_namespace",
    _DROP
    + _IN_NAMESPACE
    + """
local count = 0
for _, entry in ipairs(redis.call('HKEYS', key('cache'))) do
    if within(entry, ARGV[2]) then
        drop(entry)
        count = count + 1
    end
end
return {count}
""",
)

# ARGV: 2 now. Answers with entries, bytes, hits, misses.
STATS = Script(
    "cache_stats",
    """
local live = redis.call('ZRANGEBYSCORE', key('cache:expires'), '(' .. ARGV[2], '+inf')
local size = 0
for _, entry in ipairs(live) do size = size + redis.call('HSTRLEN', key('cache'), entry) end
local counts = redis.call('HMGET', key('counts'), 'hits', 'misses')
return {#live, size, counts[1] or '0', counts[2] or '0'}
""",
)

# ARGV: 2 now, 3 namespace. Answers with entries and bytes.
NAMESPACE_STATS = Script(
    "cache_namespace_stats",
    _IN_NAMESPACE
    + """
local count, size = 0, 0
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', key('cache:expires'), '(' .. ARGV[2], '+inf')) do
    if within(entry, ARGV[3]) then
        count, size = count + 1, size + redis.call('HSTRLEN', key('cache'), entry)
    end
end
return {count, size}
""",
)
