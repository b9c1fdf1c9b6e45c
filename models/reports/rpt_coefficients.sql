with

-- depends_on: {{ ref('gate_second_route') }}
final as (
    select * from {{ ref('est_coefficients') }}
)

select * from final
