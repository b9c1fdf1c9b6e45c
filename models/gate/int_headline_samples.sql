with

samples as (
    select
        specifications.specification_id,
        sampled.city_id,
        sampled.year
    from {{ ref('int_specifications_sampled') }} as specifications
    inner join {{ ref('int_specification_samples') }} as sampled using (sample_id)
    where
        specifications.is_headline
        and sampled.is_observation
),

required_cities as (
    select city_id from {{ ref('required_cities') }}
),

-- City-years that a regression sample must contain: every required city in each of the sample's years.
due as (
    select distinct
        samples.specification_id,
        required_cities.city_id,
        samples.year
    from samples
    cross join required_cities
),

known_gaps as (
    select
        series.specification_id,
        gaps.city_id,
        unnest(range(gaps.first_year, gaps.last_year + 1)) as year
    from {{ ref('dim_specification_series') }} as series
    inner join {{ ref('expected_coverage') }} as gaps
        on
            series.quantity = gaps.series
            and series.scope = gaps.scope
            and series.provider = gaps.provider
    where gaps.city_id is not null
),

final as (
    select
        due.specification_id,
        due.city_id,
        count(case when samples.year is null and known_gaps.year is null then 1 end) as missing_year_count
    from due
    left join samples using (specification_id, city_id, year)
    left join known_gaps using (specification_id, city_id, year)
    group by due.specification_id, due.city_id
)

select * from final
