select
    day,
    content_id as export_id,
    calls,
    attempts,
    cost_nano_usd,
    ambiguous_nano_usd,
    exported_at at time zone 'UTC' as exported_at,
    removed_at at time zone 'UTC' as removed_at
from {{ source('exports', 'days') }}
