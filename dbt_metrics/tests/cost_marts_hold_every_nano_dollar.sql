{{ config(meta={'dagster': {'ref': {'name': 'cost_by_day'}}}) }}

{% set marts = ['calls_by_day', 'cost_by_day', 'cost_by_asset', 'cost_by_task', 'cost_by_model', 'cost_by_prompt_version'] %}
with usage as (
    select sum(cost_nano_usd) as cost_nano_usd from {{ ref('usage_by_day') }}
),

marts as (
    {%- for mart in marts %}
    select '{{ mart }}' as mart, sum(cost_nano_usd) as cost_nano_usd from {{ ref(mart) }}
    {%- if not loop.last %} union all {%- endif %}
    {%- endfor %}
)

select marts.mart, marts.cost_nano_usd as in_mart, usage.cost_nano_usd as in_usage
from marts, usage
where coalesce(marts.cost_nano_usd, 0) <> coalesce(usage.cost_nano_usd, 0)
