{{ config(materialized='incremental', incremental_strategy='append', pre_hook='{{ drop_days_to_build() }}') }}

-- An attempt is charged to several budget windows at once: sums over scopes are no sums of money.
with charged as (
    select day, unnest(scopes) as budget_window, charge, cost_nano_usd
    from {{ ref('stg_attempts') }}
    where day in ({{ days_to_build(this) }})
)

select
    charged.day,
    charged.budget_window,
    case
        when split_part(charged.budget_window, ':', 1) in ('day', 'month') then split_part(charged.budget_window, ':', 1)
        else charged.budget_window
    end as scope,
    count(*) as attempts,
    {{ total('charged.cost_nano_usd') }} as cost_nano_usd,
    {{ usd(total('charged.cost_nano_usd')) }} as cost_usd,
    {{ total("case when charged.charge = 'ambiguous' then charged.cost_nano_usd else 0 end") }} as ambiguous_nano_usd,
    exported.export_id
from charged
inner join {{ ref('stg_exported_days') }} as exported on exported.day = charged.day
group by charged.day, charged.budget_window, exported.export_id
