{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ drop_days_to_build() }}') }}

with days as (
    {{ days_to_build(this) }}
),

answered as (
    select * from {{ ref('stg_calls') }} where status = 'ok' and day in (select day from days)
),

-- An answer older than that is kept by no cache; looking further back would read the whole history for each hit.
origins as (
    select call_id, cost_nano_usd
    from {{ ref('stg_calls') }}
    where
        not cached
        and day >= (select min(day) - 35 from answered)
        and call_id in (select origin_call_id from answered where cached)
)

select
    answered.day,
    answered.task,
    answered.purpose,
    count(*) as answered,
    {{ total('cast(answered.cached as integer)') }} as cache_hits,
    {{ total('cast(answered.cached as integer)') }} / count(*) as hit_rate,
    {{ total('origins.cost_nano_usd') }} as saved_nano_usd,
    {{ usd(total('origins.cost_nano_usd')) }} as saved_usd,
    exported.export_id
from answered
inner join {{ ref('stg_exported_days') }} as exported on exported.day = answered.day
left join origins on answered.cached and origins.call_id = answered.origin_call_id
group by answered.day, answered.task, answered.purpose, exported.export_id
