select
    day,
    model,
    {{ usage_measures() }},
    {{ per_answer() }} as cost_per_answer_nano_usd,
    {{ usd(per_answer()) }} as cost_per_answer_usd
from {{ ref('usage_by_day') }}
group by day, model
order by day, model
