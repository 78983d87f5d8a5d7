{{ config(meta={'dagster': {'ref': {'name': 'latency_percentiles'}}}) }}

-- A day that is exported again replaces its rows in every incremental mart.
{% set marts = {
    'latency_percentiles': 'day, task, purpose, model',
    'cache_hit_rate': 'day, task, purpose',
    'fallback_rate': 'day, task, purpose, requested_model',
    'spend_by_scope': 'day, budget_window',
} %}
{%- for mart, key in marts.items() %}
select '{{ mart }}' as mart, day, count(*) as rows from {{ ref(mart) }} group by {{ key }} having count(*) > 1
{%- if not loop.last %} union all {%- endif %}
{%- endfor %}
