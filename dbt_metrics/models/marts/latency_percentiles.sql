-- Cached and unanswered calls are left out: they say nothing about a model's speed.
select
    day,
    task,
    purpose,
    model,
    count(*) as calls,
    quantile_cont(latency_s, 0.50) as p50_s,
    quantile_cont(latency_s, 0.90) as p90_s,
    quantile_cont(latency_s, 0.95) as p95_s,
    quantile_cont(latency_s, 0.99) as p99_s,
    max(latency_s) as max_s
from {{ ref('stg_calls') }}
where status = 'ok' and not cached
group by day, task, purpose, model
order by day, task, purpose, model
