{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ drop_days_to_build() }}') }}

-- Cached and unanswered calls are left out: they say nothing about a model's speed. So are calls that a provider's batch
-- job made: their latency is the job's.
select
    calls.day,
    calls.task,
    calls.purpose,
    calls.model,
    count(*) as calls,
    quantile_cont(calls.latency_s, 0.50) as p50_s,
    quantile_cont(calls.latency_s, 0.90) as p90_s,
    quantile_cont(calls.latency_s, 0.95) as p95_s,
    quantile_cont(calls.latency_s, 0.99) as p99_s,
    max(calls.latency_s) as max_s,
    exported.export_id
from {{ ref('stg_calls') }} as calls
inner join {{ ref('stg_exported_days') }} as exported on exported.day = calls.day
where
    calls.status = 'ok'
    and not calls.cached
    and calls.purpose <> 'provider_batch'
    and calls.day in ({{ days_to_build(this) }})
group by calls.day, calls.task, calls.purpose, calls.model, exported.export_id
