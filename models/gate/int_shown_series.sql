with

final as (
    select distinct
        used.series,
        used.scope
    from {{ ref('dim_specification_series') }} as used
    inner join {{ ref('regression_specifications') }} as specifications
        on used.specification_id = specifications.specification_id
    where
        specifications.reading = 'default'
        and used.series is not null
)

select * from final
