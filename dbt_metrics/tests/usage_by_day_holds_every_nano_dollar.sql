{{ config(meta={'dagster': {'ref': {'name': 'usage_by_day'}}}) }}

-- Every exported day, as it was exported: its money, its attempts and its calls, each once.
with mart as (
    select
        day,
        sum(cost_nano_usd) as cost_nano_usd,
        sum(ambiguous_nano_usd) as ambiguous_nano_usd,
        sum(attempts) as attempts,
        sum(calls) as calls
    from {{ ref('usage_by_day') }}
    group by day
)

select day, exported.cost_nano_usd as in_ledger, mart.cost_nano_usd as in_mart
from {{ ref('stg_exported_days') }} as exported
full join mart using (day)
where
    coalesce(exported.cost_nano_usd, 0) <> coalesce(mart.cost_nano_usd, 0)
    or coalesce(exported.ambiguous_nano_usd, 0) <> coalesce(mart.ambiguous_nano_usd, 0)
    or coalesce(exported.attempts, 0) <> coalesce(mart.attempts, 0)
    or coalesce(exported.calls, 0) <> coalesce(mart.calls, 0)
