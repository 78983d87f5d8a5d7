select
    experiment_id,
    prompt_version_id,
    min(day) as first_day,
    max(day) as last_day,
    {{ usage_measures() }},
    {{ per_answer() }} as cost_per_answer_nano_usd,
    {{ usd(per_answer()) }} as cost_per_answer_usd
from {{ ref('usage_by_day') }}
where experiment_id is not null
group by experiment_id, prompt_version_id
order by experiment_id, prompt_version_id
