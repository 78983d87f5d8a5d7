select evaluation_id, score_low, score, score_high
from {{ ref('evaluation_history') }}
where not (score_low <= score and score <= score_high)
