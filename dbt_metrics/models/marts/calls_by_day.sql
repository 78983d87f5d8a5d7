select
    day,
    task,
    purpose,
    model,
    {{ usage_measures() }}
from {{ ref('usage_by_day') }}
group by day, task, purpose, model
order by day, task, purpose, model
