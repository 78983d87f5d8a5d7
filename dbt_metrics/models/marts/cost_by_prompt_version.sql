select
    prompt_version_id,
    task,
    purpose,
    min(day) as first_day,
    max(day) as last_day,
    {{ usage_measures() }},
    {{ per_answer() }} as cost_per_answer_nano_usd,
    {{ usd(per_answer()) }} as cost_per_answer_usd
from {{ ref('usage_by_day') }}
group by prompt_version_id, task, purpose
order by prompt_version_id, task, purpose
