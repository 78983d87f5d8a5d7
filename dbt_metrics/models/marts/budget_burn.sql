-- One row per budget window and UTC day. The cap and the projection are those of the last look at the budgets.
with burned as (
    select
        budget_window,
        scope,
        day,
        cost_nano_usd,
        cast(sum(cost_nano_usd) over (partition by budget_window order by day) as bigint) as burned_nano_usd,
        row_number() over (partition by scope order by day desc, budget_window desc) = 1 as newest
    from {{ ref('spend_by_scope') }}
)

select
    burned.budget_window,
    burned.scope,
    burned.day,
    burned.cost_nano_usd,
    {{ usd('burned.cost_nano_usd') }} as cost_usd,
    burned.burned_nano_usd,
    {{ usd('burned.burned_nano_usd') }} as burned_usd,
    budgets.cap_nano_usd,
    {{ usd('budgets.cap_nano_usd') }} as cap_usd,
    burned.burned_nano_usd / nullif(budgets.cap_nano_usd, 0) as cap_share,
    case when burned.newest then budgets.mean_day_nano_usd end as mean_day_nano_usd,
    case when burned.newest then {{ usd('budgets.month_projection_nano_usd') }} end as month_projection_usd,
    burned.newest
from burned
left join {{ source('results', 'budgets') }} as budgets on budgets.scope = burned.scope
order by burned.scope, burned.day, burned.budget_window
