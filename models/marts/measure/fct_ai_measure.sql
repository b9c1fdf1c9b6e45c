with

series as (
    select * from {{ ref('int_series_conformed') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

years as (
    select cast(range as integer) as year
    from range({{ period('first_year') }}, {{ period('last_year') }} + 1)
),

weightings as (
    select * from {{ ref('measure_weightings') }}
),

scopes as (
    select distinct scope from {{ ref('industry_scopes') }}
),

delivered_series as (
    select * from {{ ref('dim_series') }}
),

-- Series and scopes that a measure can use: every series in every scope, delivered or not, and `series@provider` in the
-- scopes that the provider delivers.
choices as (
    select
        series.series as quantity,
        series.series,
        scopes.scope
    from (select distinct unnest([base_series, minus_series, scaling_series]) as series from weightings) as series
    cross join scopes
    union all
    select distinct
        series.quantity,
        series.series,
        scopes.scope
    from series
    inner join scopes on series.scope in (scopes.scope, 'total')
    where series.series <> series.quantity
),

qualified_weightings as (
    select
        {{ qualified_name('weightings.measure', "concat_ws(' ', bases.series, subtracted.series, scaling.series)") }}
            as measure,
        weightings.weighting,
        bases.scope,
        bases.series as base_series,
        subtracted.series as minus_series,
        scaling.series as scaling_series,
        weightings.scaling_area,
        case weightings.share_year
            when 'first' then greatest(delivered_bases.first_year, delivered_scaling.first_year)
            else {{ period('base_year') }}
        end as share_year,
        weightings.is_mechanical
    from weightings
    inner join choices as bases on weightings.base_series = bases.quantity
    left join choices as subtracted
        on
            weightings.minus_series = subtracted.quantity
            and bases.scope = subtracted.scope
    left join choices as scaling
        on
            weightings.scaling_series = scaling.quantity
            and bases.scope = scaling.scope
    left join delivered_series as delivered_bases
        on
            bases.series = delivered_bases.series
            and delivered_bases.scope in (bases.scope, 'total')
    left join delivered_series as delivered_scaling
        on
            scaling.series = delivered_scaling.series
            and delivered_scaling.scope in (bases.scope, 'total')
),

-- Values by series, scope, city and year. A series that is not reported by industry is used in every scope.
of_city as (
    select
        series.series,
        coalesce(scopes.scope, series.scope) as scope,
        'city' as area,
        series.city_id,
        series.year,
        series.value
    from series
    left join scopes on series.scope = 'total'
),

delivered_years as (
    select
        series,
        scope,
        count(distinct case when value is not null then year end) as year_count
    from of_city
    group by series, scope
),

left_out_series as (
    select distinct scaling_series as series
    from qualified_weightings
    where scaling_area = 'rest_of_province'
),

-- Cities with a value in every delivered year. Only these are summed by province, so that changes in coverage do not
-- change the sum.
complete_in_province as (
    select
        of_city.series,
        of_city.scope,
        of_city.city_id,
        cities.province_id
    from of_city
    inner join left_out_series using (series)
    inner join delivered_years using (series, scope)
    inner join cities using (city_id)
    group by
        of_city.series, of_city.scope, of_city.city_id, cities.province_id,
        delivered_years.year_count
    having count(of_city.value) = delivered_years.year_count
),

scaling_of_rest_of_province as (
    select
        others.series,
        others.scope,
        'rest_of_province' as area,
        cities.city_id,
        others_values.year,
        sum(others_values.value order by others.city_id) as value
    from complete_in_province as others
    inner join of_city as others_values using (series, scope, city_id)
    inner join cities
        on
            others.province_id = cities.province_id
            and others.city_id <> cities.city_id
    group by others.series, others.scope, cities.city_id, others_values.year
),

scaling_series as (
    select * from of_city
    union all
    select * from scaling_of_rest_of_province
),

-- Delivered count of each measure by city and year. For a measure defined as a difference, the count is null if either
-- part is missing.
counts as (
    select
        weightings.*,
        cities.city_id,
        years.year,
        case when weightings.minus_series is null then base.value else base.value - subtracted.value end as value
    from qualified_weightings as weightings
    cross join cities
    cross join years
    left join of_city as base
        on
            weightings.base_series = base.series
            and weightings.scope = base.scope
            and cities.city_id = base.city_id
            and years.year = base.year
    left join of_city as subtracted
        on
            weightings.minus_series = subtracted.series
            and weightings.scope = subtracted.scope
            and cities.city_id = subtracted.city_id
            and years.year = subtracted.year
    -- If nothing was delivered, the table is empty rather than filled with null measures.
    where exists (select 1 from series)
),

cells as (
    select
        counts.* exclude (base_series, minus_series, scaling_series, scaling_area, value),  -- noqa: RF02
        scaling.value as scaling_value,
        case
            when counts.scaling_series is not null then base_year_counts.value / nullif(base_year_scaling.value, 0)
        end as weight,
        case
            when counts.scaling_series is null then counts.value
            else base_year_counts.value / nullif(base_year_scaling.value, 0) * scaling.value
        end as measure_count,
        case
            when counts.scaling_series is null then case when counts.value is null then 'count not delivered' end
            when base_year_counts.value is null then 'base year count not delivered'
            when base_year_scaling.value is null then 'base year scaling series not delivered'
            when base_year_scaling.value = 0 then 'base year scaling series is zero'
            when scaling.value is null then 'scaling series not delivered'
        end as missing_reason
    from counts
    left join counts as base_year_counts
        on
            counts.measure = base_year_counts.measure
            and counts.weighting = base_year_counts.weighting
            and counts.scope = base_year_counts.scope
            and counts.city_id = base_year_counts.city_id
            and counts.share_year = base_year_counts.year
    left join scaling_series as scaling
        on
            counts.scaling_series = scaling.series
            and counts.scaling_area = scaling.area
            and counts.scope = scaling.scope
            and counts.city_id = scaling.city_id
            and counts.year = scaling.year
    left join scaling_series as base_year_scaling
        on
            counts.scaling_series = base_year_scaling.series
            and counts.scaling_area = base_year_scaling.area
            and counts.scope = base_year_scaling.scope
            and counts.city_id = base_year_scaling.city_id
            and counts.share_year = base_year_scaling.year
),

final as (
    select
        {{ extract_set() }} as extract_set,
        cells.* exclude (share_year),  -- noqa: RF02
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        cast(cells.share_year as integer) as base_year,
        cells.measure_count / 10000 as measure_10k,
        {{ log_of('cells.measure_count') }} as ln_measure,
        {{ log_of('1 + cells.measure_count') }} as ln1p_measure,
        asinh(cells.measure_count) as asinh_measure
    from cells
    left join cities using (city_id)
)

select * from final
