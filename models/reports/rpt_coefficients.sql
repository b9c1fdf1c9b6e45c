with

fixed_effects as (
    select * from {{ ref('est_fixed_effects') }}
),

final as (
    select * from fixed_effects
)

select * from final
