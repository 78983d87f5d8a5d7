select
    day,
    task,
    purpose,
    model,
    {{ total('calls') }} as calls,
    {{ total('answered') }} as answered,
    {{ total('fallbacks') }} as fallbacks,
    {{ total('cache_hits') }} as cache_hits,
    {{ total('attempts') }} as attempts,
    {{ total('input_tokens') }} as input_tokens,
    {{ total('output_tokens') }} as output_tokens,
    {{ total('cost_nano_usd') }} as cost_nano_usd,
    {{ usd(total('cost_nano_usd')) }} as cost_usd,
    {{ total('ambiguous_nano_usd') }} as ambiguous_nano_usd,
    {{ usd(total('ambiguous_nano_usd')) }} as ambiguous_usd
from {{ ref('stg_usage') }}
group by day, task, purpose, model
order by day, task, purpose, model
