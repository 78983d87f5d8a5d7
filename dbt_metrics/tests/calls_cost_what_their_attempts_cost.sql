{{ config(meta={'dagster': {'ref': {'name': 'stg_calls'}}}) }}

-- A call over midnight may have attempts on a day that is not exported, so only calls within one day are compared.
with charged as (
    select call_id, count(*) as attempts, sum(cost_nano_usd) as cost_nano_usd
    from {{ ref('stg_attempts') }}
    where day in ({{ days_to_test() }})
    group by call_id
)

select
    calls.call_id,
    calls.attempts,
    charged.attempts as attempts_in_ledger,
    calls.cost_nano_usd,
    charged.cost_nano_usd as cost_of_attempts_nano_usd
from {{ ref('stg_calls') }} as calls
left join charged on charged.call_id = calls.call_id
where
    cast(calls.started_at as date) = calls.day
    and calls.day in ({{ days_to_test() }})
    and (
        calls.cost_nano_usd <> coalesce(charged.cost_nano_usd, 0)
        or calls.attempts <> coalesce(charged.attempts, 0)
    )
