select call_id, attempts, cost_nano_usd, origin_call_id
from {{ ref('stg_calls') }}
where
    cached
    and day in ({{ days_to_test() }})
    and (cost_nano_usd <> 0 or attempts <> 0 or origin_call_id is null)
