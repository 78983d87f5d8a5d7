select
    day,
    {{ usage_measures() }},
    {{ usd("cast(sum(sum(cost_nano_usd)) over (partition by date_trunc('month', day) order by day) as bigint)") }}
        as month_to_date_usd
from {{ ref('usage_by_day') }}
group by day
order by day
