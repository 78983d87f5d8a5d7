{# Nano-USD as exact USD. Division would give a float. #}
{% macro usd(nano_usd) -%}
    cast(cast({{ nano_usd }} as decimal(19, 0)) * cast(0.000000001 as decimal(10, 9)) as decimal(28, 9))
{%- endmacro %}

{# A sum of bigints is a hugeint, which few readers know. #}
{% macro total(integers) -%}
    cast(coalesce(sum({{ integers }}), 0) as bigint)
{%- endmacro %}
