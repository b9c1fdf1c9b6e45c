with

city_years as (
    select * from {{ ref('int_specification_city_years') }}
),

samples as (
    select * from {{ ref('int_specification_samples') }}
),

singletons as (
    select
        city_years.specification_id,
        700 as place,
        'singleton of a city or a year' as reason,
        cast(null as varchar) as variable
    from city_years
    anti join samples
        on
            city_years.specification_id = samples.specification_id
            and city_years.city_id = samples.city_id
            and city_years.year = samples.year
    where city_years.is_used
),

lost as (
    select
        specification_id,
        place,
        reason,
        variable
    from city_years
    where reason is not null
    union all
    select * from singletons
),

estimable as (
    select distinct specification_id
    from samples
    where is_observation
),

final as (
    select
        lost.specification_id,
        cast(
            row_number()
                over (partition by lost.specification_id order by lost.place, lost.reason, lost.variable)
            as integer
        ) as step,
        lost.reason,
        lost.variable,
        count(*) as observation_count,
        estimable.specification_id is not null as is_estimable
    from lost
    left join estimable on lost.specification_id = estimable.specification_id
    group by lost.specification_id, lost.place, lost.reason, lost.variable, estimable.specification_id
)

select * from final
