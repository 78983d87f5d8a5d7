{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ drop_days_to_build() }}') }}

select
    calls.day,
    calls.task,
    calls.purpose,
    calls.requested_model,
    count(*) as calls,
    {{ total("cast(calls.status = 'fallback' as integer)") }} as fallbacks,
    {{ total("cast(calls.status = 'fallback' as integer)") }} / count(*) as fallback_rate,
    {{ total("cast(calls.status = 'fallback' and calls.reason = 'circuit_open' as integer)") }} as circuit_open,
    {{ total("cast(calls.status = 'fallback' and calls.reason = 'rate_limited' as integer)") }} as rate_limited,
    {{ total("cast(calls.status = 'fallback' and calls.reason = 'budget_exhausted' as integer)") }} as budget_exhausted,
    {{ total("cast(calls.status = 'fallback' and calls.reason = 'provider_error' as integer)") }} as provider_error,
    {{ total("cast(calls.status = 'fallback' and calls.reason = 'deadline' as integer)") }} as deadline,
    {{ total("cast(calls.status = 'ok' and calls.model <> calls.requested_model as integer)") }} as other_model,
    exported.export_id
from {{ ref('stg_calls') }} as calls
inner join {{ ref('stg_exported_days') }} as exported on exported.day = calls.day
where calls.day in ({{ days_to_build(this) }})
group by calls.day, calls.task, calls.purpose, calls.requested_model, exported.export_id
