with

specifications as (
    select * from {{ ref('int_specifications_sampled') }}
),

city_years as (
    select * from {{ ref('int_specification_city_years') }}
),

samples as (
    select * from {{ ref('int_specification_samples') }}
),

singletons as (
    select
        city_years.sample_id,
        700 as place,
        'singleton of a city or a year' as reason,
        cast(null as varchar) as variable
    from city_years
    anti join samples using (sample_id, city_id, year)
    where city_years.is_used
),

lost as (
    select
        sample_id,
        place,
        reason,
        variable
    from city_years
    where reason is not null
    union all
    select * from singletons
),

estimable as (
    select distinct sample_id
    from samples
    where is_observation
),

counted as (
    select
        lost.sample_id,
        cast(
            row_number() over (partition by lost.sample_id order by lost.place, lost.reason, lost.variable)
            as integer
        ) as step,
        lost.reason,
        lost.variable,
        count(*) as observation_count,
        estimable.sample_id is not null as is_estimable
    from lost
    left join estimable using (sample_id)
    group by lost.sample_id, lost.place, lost.reason, lost.variable, estimable.sample_id
),

final as (
    select
        specifications.specification_id,
        counted.* exclude (sample_id)
    from specifications
    inner join counted using (sample_id)
)

select * from final
