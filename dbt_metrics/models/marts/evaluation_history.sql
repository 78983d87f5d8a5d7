select
    evaluation_id,
    task,
    prompt_version_id,
    dataset_version_id,
    split,
    metric,
    rows,
    score,
    score_low,
    score_high,
    score - lag(score) over same_rows as score_change,
    row_number() over same_rows as nth,
    summary,
    storage_path,
    created_at
from {{ ref('stg_evaluations') }}
window same_rows as (
    partition by task, dataset_version_id, split, metric order by created_at, evaluation_id
)
order by task, created_at, evaluation_id
