with

samples as (
    select * from {{ ref('int_specification_samples') }}
    where is_observation
),

headlines as (
    select specification_id
    from {{ ref('regression_specifications') }}
    where is_headline
),

required_cities as (
    select city_id from {{ ref('required_cities') }}
),

years as (
    select
        specification_id,
        count(distinct year) as year_count
    from samples
    group by specification_id
),

final as (
    select
        years.specification_id,
        required_cities.city_id,
        years.year_count - count(samples.year) as missing_year_count
    from years
    inner join headlines on years.specification_id = headlines.specification_id
    cross join required_cities
    left join samples
        on
            years.specification_id = samples.specification_id
            and required_cities.city_id = samples.city_id
    group by years.specification_id, required_cities.city_id, years.year_count
)

select * from final
