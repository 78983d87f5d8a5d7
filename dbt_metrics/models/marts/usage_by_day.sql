{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ drop_days_to_build() }}') }}

-- Calls bring the counts, attempts bring the money: a call whose process was killed has attempts and no row of its own,
-- and a call that fell back from one model to another paid both.
with days as (
    {{ days_to_build(this) }}
),

-- A call over midnight has attempts on other days than its own.
around as (
    select distinct cast(days.day + near.n as date) as day
    from days, (values (-1), (0), (1), (2)) as near (n)
),

calls as (
    select * from {{ ref('stg_calls') }} where day in (select day from around)
),

attempts as (
    select * from {{ ref('stg_attempts') }} where day in (select day from days)
),

usage as (
    select
        day,
        task,
        purpose,
        model,
        prompt_version_id,
        experiment_id,
        1 as calls,
        cast(status = 'ok' as integer) as answered,
        cast(status = 'fallback' as integer) as fallbacks,
        cast(status = 'ok' and cached as integer) as cache_hits,
        0 as attempts,
        0 as input_tokens,
        0 as output_tokens,
        0 as cost_nano_usd,
        0 as ambiguous_nano_usd
    from calls
    where day in (select day from days)

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
        calls.experiment_id,
        0 as calls,
        0 as answered,
        0 as fallbacks,
        0 as cache_hits,
        1 as attempts,
        attempts.input_tokens,
        attempts.output_tokens,
        attempts.cost_nano_usd,
        case when attempts.charge = 'ambiguous' then attempts.cost_nano_usd else 0 end as ambiguous_nano_usd
    from attempts
    left join calls on calls.call_id = attempts.call_id
)

select
    usage.day,
    usage.task,
    usage.purpose,
    cast({{ asset_of('usage.purpose') }} as varchar) as asset,
    usage.model,
    usage.prompt_version_id,
    usage.experiment_id,
    {{ total('usage.calls') }} as calls,
    {{ total('usage.answered') }} as answered,
    {{ total('usage.fallbacks') }} as fallbacks,
    {{ total('usage.cache_hits') }} as cache_hits,
    {{ total('usage.attempts') }} as attempts,
    {{ total('usage.input_tokens') }} as input_tokens,
    {{ total('usage.output_tokens') }} as output_tokens,
    {{ total('usage.cost_nano_usd') }} as cost_nano_usd,
    {{ total('usage.ambiguous_nano_usd') }} as ambiguous_nano_usd,
    exported.export_id
from usage
inner join {{ ref('stg_exported_days') }} as exported on exported.day = usage.day
group by
    usage.day, usage.task, usage.purpose, usage.model, usage.prompt_version_id, usage.experiment_id, exported.export_id
