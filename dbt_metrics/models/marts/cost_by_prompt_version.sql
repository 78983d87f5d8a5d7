select
    prompt_version_id,
    task,
    purpose,
    min(day) as first_day,
    max(day) as last_day,
    {{ total('calls') }} as calls,
    {{ total('answered') }} as answered,
    {{ total('cache_hits') }} as cache_hits,
    {{ total('input_tokens') }} as input_tokens,
    {{ total('output_tokens') }} as output_tokens,
    {{ total('cost_nano_usd') }} as cost_nano_usd,
    {{ usd(total('cost_nano_usd')) }} as cost_usd,
    cast(round(sum(cost_nano_usd) / nullif(sum(answered), 0)) as bigint) as cost_per_answer_nano_usd,
    {{ usd('cast(round(sum(cost_nano_usd) / nullif(sum(answered), 0)) as bigint)') }} as cost_per_answer_usd
from {{ ref('stg_usage') }}
group by prompt_version_id, task, purpose
order by prompt_version_id, task, purpose
