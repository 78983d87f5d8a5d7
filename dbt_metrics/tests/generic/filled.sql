{# None of `columns` is null: one test, and one check in Dagster, instead of one per column. #}
{% test filled(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
where {{ columns | join(' is null or ') }} is null
{% endtest %}
