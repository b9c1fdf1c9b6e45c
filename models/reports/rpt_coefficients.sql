with

-- depends_on: {{ ref('gate_second_route') }}
fixed_effects as (
    select * from {{ ref('est_fixed_effects') }}
),

event_study as (
    select * from {{ ref('est_event_study') }}
),

dynamic_panel as (
    select * from {{ ref('est_dynamic_panel') }}
),

two_measurements as (
    select * from {{ ref('est_two_measurements') }}
),

final as (
    select * from fixed_effects
    union all
    select * from event_study
    union all
    select * from dynamic_panel
    union all
    select * from two_measurements
)

select * from final
