with

city_year_values as (
    select * from {{ ref('fct_city_year_values') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

groupings as (
    select * from {{ ref('city_groupings') }}
),

-- Value by which a grouping classifies a city: a series in the grouping's year, or the ratio of two series.
valued as (
    select
        groupings.grouping,
        groupings.split,
        groupings.reference_group,
        numerators.city_id,
        case
            when groupings.series not like '% %' then numerators.value
            else numerators.value / nullif(denominators.value, 0)
        end as value
    from groupings
    inner join city_year_values as numerators
        on
            split_part(groupings.series, ' ', 1) = numerators.variable
            and {{ nearest_year('groupings.year') }} = numerators.year
    left join city_year_values as denominators
        on
            split_part(groupings.series, ' ', 2) = denominators.variable
            and numerators.city_id = denominators.city_id
            and numerators.year = denominators.year
    where
        numerators.value is not null
        and (groupings.series not like '% %' or denominators.value <> 0)
),

thresholds as (
    select
        grouping,
        quantile_cont(value, 1.0 / 3) as first_tercile,
        median(value) as median_value,
        quantile_cont(value, 2.0 / 3) as second_tercile
    from valued
    group by grouping
),

split_by_value as (
    select
        valued.grouping,
        valued.reference_group,
        valued.city_id,
        valued.value,
        case
            when valued.split = 'median' and valued.value > thresholds.median_value then 'above'
            when valued.split = 'median' then 'below'
            when valued.split = 'terciles' and valued.value > thresholds.second_tercile then 'high'
            when valued.split = 'terciles' and valued.value > thresholds.first_tercile then 'middle'
            when valued.split = 'terciles' then 'low'
            when valued.split = 'positive' and valued.value > 0 then 'positive'
            when valued.split = 'positive' then 'none'
            when
                valued.split = 'largest five'
                and row_number() over (
                    partition by valued.grouping
                    order by valued.value desc, valued.city_id asc
                ) <= 5 then 'largest'
            when valued.split = 'largest five' then 'others'
        end as group_name
    from valued
    inner join thresholds using (grouping)
),

-- Cities whose boundaries changed during the period. Changes in the first year are ignored, because every year of the
-- period then uses the new boundaries.
changed_cities as (
    select distinct city_id
    from {{ ref('int_city_boundary_changes') }}
    where
        first_year > {{ period('first_year') }}
        and first_year <= {{ period('last_year') }}
),

split_by_place as (
    select
        groupings.grouping,
        groupings.reference_group,
        cities.city_id,
        case
            when groupings.variable = 'region' then cities.region
            when changed_cities.city_id is null then 'unchanged'
            else 'changed'
        end as group_name
    from groupings
    cross join cities
    left join changed_cities using (city_id)
    where groupings.variable in ('region', 'boundary')
),

grouped as (
    select * from split_by_value
    union all by name
    select * from split_by_place
),

final as (
    select
        {{ extract_set() }} as extract_set,
        grouped.* exclude (reference_group),  -- noqa: RF02
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        grouped.group_name = grouped.reference_group as is_reference,
        groupings.is_stratum
    from grouped
    inner join groupings using (grouping)
    left join cities using (city_id)
)

select * from final
