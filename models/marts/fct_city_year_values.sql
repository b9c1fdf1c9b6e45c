with

variables as (
    select
        *,
        split_part(series, ' ', 1) as numerator,
        split_part(series, ' ', 2) as denominator
    from {{ ref('dim_variable') }}
),

doubtful as (
    select distinct
        city_id,
        year,
        series,
        scope
    from {{ ref('fct_doubtful_values') }}
    where is_unexplained
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

-- Provider of each series, and whether the provider declares the series as interpolated.
deliveries as (
    select
        series,
        scope,
        provider,
        is_interpolated,
        interpolates
    from {{ ref('dim_series') }}
),

-- Series values with the basis of each value. A value is interpolated if the observed series has no value, or a
-- different value, in the same city-year.
series as (
    select
        conformed.*
        replace (
            list_concat(
                conformed.basis,
                [
                    case when doubtful.series is not null then 'doubtful' end,
                    case when deliveries.is_interpolated and observed.series is null then 'interpolated' end
                ]
            ) as basis
        )
    from conformed
    left join doubtful using (city_id, year, series, scope)
    left join deliveries using (series, scope)
    left join conformed as observed
        on
            deliveries.interpolates = observed.series
            and conformed.scope = observed.scope
            and conformed.city_id = observed.city_id
            and conformed.year = observed.year
            and conformed.value = observed.value
),

measured as (
    select * from {{ ref('fct_ai_measure') }}
),

measures as (
    select * from measured
    where
        scope = '{{ var("default_measure").scope }}'
        and weighting = '{{ var("default_measure").weighting }}'
),

cities as (
    select * from {{ ref('dim_city') }}
),

-- Years with AI measures: the years of the period, or the years selected by `dbt --sample`. A study may define no
-- measures.
measured_years as (
    select distinct year from measured
),

-- All combinations of city and year, or no rows if nothing was delivered.
city_years as (
    select
        {{ extract_set() }} as extract_set,
        cities.city_id,
        cast(years.range as integer) as year
    from cities
    cross join range({{ period('first_year') }}, {{ period('last_year') }} + 1) as years
    where
        exists (select 1 from conformed)
        and (
            years.range in (select measured_years.year from measured_years)
            or not exists (select 1 from measured_years)
        )
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
        end as amount,
        list_distinct(
            [
                coalesce(numerators.provider, numerator_deliveries.provider),
                coalesce(denominators.provider, denominator_deliveries.provider)
            ]
        ) as providers,
        list_concat(
            numerators.basis,
            denominators.basis,
            [replace(measures.weighting, '_', ' ')]
        ) as words
    from city_years
    cross join variables
    left join measures using (city_id, year, measure)
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
    left join deliveries as numerator_deliveries
        on
            variables.numerator = numerator_deliveries.series
            and variables.scope = numerator_deliveries.scope
    left join deliveries as denominator_deliveries
        on
            variables.denominator = denominator_deliveries.series
            and variables.scope = denominator_deliveries.scope
),

transformed as (
    select
        * exclude (transform, amount),
        case transform
            when 'level' then amount
            when 'ln' then {{ log_of('amount') }}
        end as value
    from amounts
),

final as (
    select
        transformed.* exclude (providers, words),  -- noqa: RF02
        cities.name_zh,
        cities.name_en,
        cities.province_id,
        cities.province_name_zh,
        cities.province_name_en,
        case
            when transformed.value is not null
                then
                    coalesce(
                        nullif(array_to_string(list_sort(list_distinct(transformed.words)), ', '), ''), 'delivered'
                    )
        end as basis,
        case when transformed.value is not null then list_contains(transformed.words, 'interpolated') end
            as is_interpolated,
        case
            when transformed.value is not null then array_to_string(list_sort(transformed.providers), ', ')
        end as delivered_by
    from transformed
    left join cities using (city_id)
)

select * from final
