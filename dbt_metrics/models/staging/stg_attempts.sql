-- depends_on: {{ ref("stg_exported_days") }}
select
    day,
    attempt_id,
    call_id,
    number,
    model,
    charge,
    outcome,
    reserved_nano_usd,
    cost_nano_usd,
    {{ usd('cost_nano_usd') }} as cost_usd,
    input_tokens,
    output_tokens,
    cached_input_tokens,
    price,
    scopes,
    provider_request_id,
    latency_s,
    started_at at time zone 'UTC' as started_at,
    finished_at at time zone 'UTC' as finished_at
from {{ source('ledger', 'attempts') }}
