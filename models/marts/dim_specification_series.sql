with

specification_series as (
    select * from {{ ref('int_specification_series') }}
),

series as (
    select * from {{ ref('dim_series') }}
),

final as (
    select
        specification_series.specification_id,
        specification_series.role,
        specification_series.position,
        specification_series.variable,
        specification_series.series,
        specification_series.scope,
        specification_series.first_year,
        specification_series.last_year,
        specification_series.fixed_year,
        case when specification_series.series is not null then coalesce(series.is_delivered, false) end as is_delivered,
        series.provider,
        series.substitution,
        current_extract_set() as extract_set
    from specification_series
    left join series
        on
            specification_series.series = series.series
            and specification_series.scope = series.scope
)

select * from final
