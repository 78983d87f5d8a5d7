{# Days are built when their export differs from the one the model was built from. Every row of such a model carries
   the `export_id` of its day, so that each model knows by itself what it lacks: a build that broke off, a model that
   was built alone and a day that was exported again all mend themselves. #}

{# A subquery of the days to build into `relation`; all exported days where it is not there yet or is built anew. #}
{% macro days_to_build(relation) -%}
    select exported.day from {{ ref('stg_exported_days') }} as exported
    {%- if is_incremental() %}
    where not exists (
        select 1 from {{ relation }} as built
        where built.day = exported.day and built.export_id = exported.export_id
    )
    {%- endif %}
{%- endmacro %}

{# Before a build: what is about to be built again goes, also groups that the day no longer has. #}
{% macro drop_days_to_build() -%}
    {% if is_incremental() %}delete from {{ this }} where day in ({{ days_to_build(this) }}){% else %}select 1{% endif %}
{%- endmacro %}

{# `where: __days_to_test__` on a test of the ledger's rows: only days that the marts do not hold yet. Tests of staging
   models run before any mart is built, and a failed one keeps the marts from being built: it is repeated next time. #}
{% macro get_where_subquery(relation) -%}
    {% set where = config.get('where') %}
    {% if where == '__days_to_test__' %}
        (select * from {{ relation }} where day in ({{ days_to_test() }})) dbt_subquery
    {% elif where %}
        (select * from {{ relation }} where {{ where }}) dbt_subquery
    {% else %}
        {{ relation }}
    {% endif %}
{%- endmacro %}

{% macro days_to_test() -%}
    {%- set exported = api.Relation.create(database=target.database, schema=target.schema, identifier='stg_exported_days') -%}
    {%- set built = adapter.get_relation(database=target.database, schema=target.schema, identifier='usage_by_day') if execute -%}
    select exported.day from {{ exported }} as exported
    {%- if built and not flags.FULL_REFRESH %}
    where not exists (
        select 1 from {{ built }} as built
        where built.day = exported.day and built.export_id = exported.export_id
    )
    {%- endif %}
{%- endmacro %}
