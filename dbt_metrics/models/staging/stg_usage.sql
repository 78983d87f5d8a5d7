-- Calls bring the counts, attempts bring the money: a call whose process was killed has attempts and no row of its own,
-- and a call that fell back from one model to another paid both.
select
    day,
    task,
    purpose,
    model,
    prompt_version_id,
    1 as calls,
    cast(status = 'ok' as integer) as answered,
    cast(status = 'fallback' as integer) as fallbacks,
    cast(status = 'ok' and cached as integer) as cache_hits,
    0 as attempts,
    0 as input_tokens,
    0 as output_tokens,
    0 as cost_nano_usd,
    0 as ambiguous_nano_usd
from {{ ref('stg_calls') }}

union all by name

select
    attempts.day,
    case
        when calls.call_id is null then [scope[6:] for scope in attempts.scopes if starts_with(scope, 'task:')][1]
        else calls.task
    end as task,
    coalesce(calls.purpose, 'unrecorded') as purpose,
    attempts.model,
    calls.prompt_version_id,
    0 as calls,
    0 as answered,
    0 as fallbacks,
    0 as cache_hits,
    1 as attempts,
    attempts.input_tokens,
    attempts.output_tokens,
    attempts.cost_nano_usd,
    case when attempts.charge = 'ambiguous' then attempts.cost_nano_usd else 0 end as ambiguous_nano_usd
from {{ ref('stg_attempts') }} as attempts
left join {{ ref('stg_calls') }} as calls on calls.call_id = attempts.call_id
