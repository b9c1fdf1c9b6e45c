with

totals as (
    select
        measure,
        year,
        national_count,
        {{ log_of('national_count') }} as ln_national_count
    from {{ ref('fct_spatial_concentration') }}
),

-- The break year ends the first period and begins the second, so that each year's growth belongs to exactly one period.
periods as (
    select
        'to_break' as period,
        cast({{ period('first_year') }} as integer) as first_year,
        cast({{ var('break_year') }} as integer) as last_year
    union all
    select
        'after_break' as period,
        cast({{ var('break_year') }} as integer) as first_year,
        cast({{ period('last_year') }} as integer) as last_year
),

growth as (
    select
        totals.measure,
        periods.period,
        cast(min(totals.year) as integer) as first_year,
        cast(max(totals.year) as integer) as last_year,
        arg_min(totals.national_count, totals.year) as first_national_count,
        arg_max(totals.national_count, totals.year) as last_national_count,
        cast(count(totals.ln_national_count) as integer) as year_count,
        case
            when count(totals.ln_national_count) > 1
                then regr_slope(totals.ln_national_count, totals.year order by totals.year)
        end as growth_per_year
    from totals
    inner join periods on totals.year between periods.first_year and periods.last_year
    group by totals.measure, periods.period
),

final as (
    select
        {{ extract_set() }} as extract_set,
        'observed' as weighting,
        *,
        growth_per_year - lag(growth_per_year) over (partition by measure order by last_year) as growth_change
    from growth
)

select * from final
