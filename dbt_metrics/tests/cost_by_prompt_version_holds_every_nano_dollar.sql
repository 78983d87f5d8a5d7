{{ config(meta={'dagster': {'ref': {'name': 'cost_by_prompt_version'}}}) }}

select ledger.cost_nano_usd as in_ledger, mart.cost_nano_usd as in_mart
from (select coalesce(sum(cost_nano_usd), 0) as cost_nano_usd from {{ ref('stg_attempts') }}) as ledger,
    (select coalesce(sum(cost_nano_usd), 0) as cost_nano_usd from {{ ref('cost_by_prompt_version') }}) as mart
where ledger.cost_nano_usd <> mart.cost_nano_usd
