with

final as (
    select * exclude (coordinates_source)
    from {{ ref('cities') }}
)

select * from final
