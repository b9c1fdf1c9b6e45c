with

final as (
    select * from {{ ref('gate_sources') }}
    union all
    select * from {{ ref('gate_series') }}
    union all
    select * from {{ ref('gate_panel') }}
)

select * from final
