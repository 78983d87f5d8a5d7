{# The measures that every cost mart sums over `usage_by_day`. #}
{% macro usage_measures() -%}
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
{%- endmacro %}

{# Cost divided by answers, whole nano-USD. #}
{% macro per_answer() -%}
    cast(round(sum(cost_nano_usd) / nullif(sum(answered), 0)) as bigint)
{%- endmacro %}

{# The asset that makes calls of a purpose; null for the command line, serving and assets of one's own. #}
{% macro asset_of(purpose) -%}
    case {{ purpose }}
        when 'optimize' then 'optimization_run'
        when 'evaluate' then 'evaluation'
        when 'judge' then 'evaluation'
        when 'check' then 'production_score'
        when 'batch' then 'batch_predictions'
        when 'provider_batch' then 'batch_predictions'
    end
{%- endmacro %}
