select
    calls.day,
    calls.task,
    calls.purpose,
    count(*) as answered,
    {{ total('cast(calls.cached as integer)') }} as cache_hits,
    {{ total('cast(calls.cached as integer)') }} / count(*) as hit_rate,
    {{ total('origins.cost_nano_usd') }} as saved_nano_usd,
    {{ usd(total('origins.cost_nano_usd')) }} as saved_usd
from {{ ref('stg_calls') }} as calls
left join {{ ref('stg_calls') }} as origins on calls.cached and origins.call_id = calls.origin_call_id
where calls.status = 'ok'
group by calls.day, calls.task, calls.purpose
order by calls.day, calls.task, calls.purpose
