with

variables as (
    select
        *,
        split_part(series, ' ', 1) as numerator,
        split_part(series, ' ', 2) as denominator
    from {{ ref('dim_variable') }}
),

series as (
    select * from {{ ref('int_series_conformed') }}
),

measures as (
    select * from {{ ref('fct_ai_measure') }}
    where
        scope = 'industry'
        and weighting = 'fixed_ratio'
),

city_years as (
    select distinct
        extract_set,
        city_id,
        year
    from measures
),

amounts as (
    select
        city_years.*,
        variables.variable,
        variables.transform,
        case
            when variables.measure is not null then measures.measure_count
            when variables.denominator = '' then numerators.value
            else numerators.value / nullif(denominators.value, 0)
        end as amount
    from city_years
    cross join variables
    left join series as numerators
        on
            city_years.city_id = numerators.city_id
            and city_years.year = numerators.year
            and variables.numerator = numerators.series
            and variables.scope = numerators.scope
    left join series as denominators
        on
            city_years.city_id = denominators.city_id
            and city_years.year = denominators.year
            and variables.denominator = denominators.series
            and variables.scope = denominators.scope
    left join measures
        on
            city_years.city_id = measures.city_id
            and city_years.year = measures.year
            and variables.measure = measures.measure
),

final as (
    select
        * exclude (transform, amount),
        case transform
            when 'level' then amount
            when 'ln' then {{ log_of('amount') }}
        end as value
    from amounts
)

select * from final
