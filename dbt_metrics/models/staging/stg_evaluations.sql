select
    id as evaluation_id,
    task,
    prompt_version_id,
    dataset_version_id,
    split,
    metric,
    rows,
    score,
    score_low,
    score_high,
    summary,
    storage_path,
    created_at at time zone 'UTC' as created_at
from {{ source('results', 'evaluations') }}
