select
    id as check_id,
    task,
    prompt_version_id,
    dataset_version_id,
    look,
    rows,
    score,
    score_low,
    score_high,
    reference_score,
    difference,
    p_value,
    alpha,
    p_value <= alpha as worse,
    checked_at at time zone 'UTC' as checked_at
from {{ source('results', 'production_checks') }}
order by task, checked_at, check_id
