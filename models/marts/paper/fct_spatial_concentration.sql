with

distribution as (
    select * from {{ ref('fct_spatial_distribution') }}
    where measure_count is not null
),

coordinates as (
    select * from {{ ref('dim_city') }}
),

-- AI counts with national and regional totals. The counts are integers, so the totals do not depend on the order of the
-- rows, unlike floating-point sums.
cells as (
    select
        distribution.measure,
        distribution.year,
        distribution.city_id,
        distribution.region,
        distribution.measure_count,
        distribution.national_share,
        coordinates.longitude,
        count(*) over national as city_count,
        count(*) over regional as region_city_count,
        sum(distribution.measure_count) over regional as region_count,
        sum(distribution.measure_count) over national as national_count,
        row_number() over (national order by distribution.measure_count, distribution.city_id) as place_from_below,
        row_number() over (national order by distribution.measure_count desc, distribution.city_id asc) as place
    from distribution
    inner join coordinates using (city_id)
    window
        national as (partition by distribution.measure, distribution.year),
        regional as (partition by distribution.measure, distribution.year, distribution.region)
),

-- Terms of Theil's index. A city with a count of zero contributes zero, the limit of s ln s as s approaches zero.
terms as (
    select
        *,
        case
            when measure_count > 0 then national_share * ln(national_share * city_count)
            else 0
        end as theil_term,
        case
            when measure_count > 0
                then national_share * ln(measure_count / region_count * region_city_count)
            else 0
        end as theil_within_term,
        case
            when measure_count > 0
                then national_share * ln(region_count / national_count * city_count / region_city_count)
            else 0
        end as theil_between_term
    from cells
),

final as (
    select
        {{ extract_set() }} as extract_set,
        measure,
        'observed' as weighting,
        year,
        cast(national_count as bigint) as national_count,
        cast(city_count as integer) as city_count,
        case
            when national_count > 0
                then
                    sum((2 * place_from_below - city_count - 1) * measure_count) / (city_count * national_count)
        end as gini,
        case
            when national_count > 0
                then
                    sum(cast(measure_count as hugeint) * measure_count)
                    / (cast(national_count as double) * national_count)
        end as hhi,
        sum(case when place <= 1 then measure_count end) / nullif(national_count, 0) as top_1_share,
        sum(case when place <= 5 then measure_count end) / nullif(national_count, 0) as top_5_share,
        sum(case when place <= 10 then measure_count end) / nullif(national_count, 0) as top_10_share,
        case when national_count > 0 then sum(theil_term order by city_id) end as theil,
        case when national_count > 0 then sum(theil_between_term order by city_id) end as theil_between_regions,
        case when national_count > 0 then sum(theil_within_term order by city_id) end as theil_within_regions,
        sum(case when region = 'east' then measure_count else 0 end) / nullif(national_count, 0) as east_share,
        sum(national_share * longitude order by city_id) as mean_longitude
    from terms
    group by measure, year, national_count, city_count
)

select * from final
