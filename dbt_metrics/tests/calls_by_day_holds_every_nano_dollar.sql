{{ config(meta={'dagster': {'ref': {'name': 'calls_by_day'}}}) }}

with ledger as (
    select day, sum(cost_nano_usd) as cost_nano_usd
    from {{ ref('stg_attempts') }}
    group by day
),

mart as (
    select day, sum(cost_nano_usd) as cost_nano_usd
    from {{ ref('calls_by_day') }}
    group by day
)

select day, ledger.cost_nano_usd as in_ledger, mart.cost_nano_usd as in_mart
from ledger
full join mart using (day)
where coalesce(ledger.cost_nano_usd, 0) <> coalesce(mart.cost_nano_usd, 0)
