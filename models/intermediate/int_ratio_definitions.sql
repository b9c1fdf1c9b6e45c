with

ratios as (
    select * from {{ ref('int_value_deviations') }}
    where per is not null
),

-- Median ratio of each series to each candidate denominator. A ratio with the right denominator is nearly constant, so
-- the denominator whose ratio varies least is selected below.
medians as (
    select
        *,
        median(amount) over (partition by series, scope, per) as usual_amount
    from ratios
),

spreads as (
    select
        series,
        scope,
        per,
        any_value(usual_amount) as usual_amount,
        median(abs(amount - usual_amount)) as spread
    from medians
    group by series, scope, per
),

constants as (
    select
        series,
        scope,
        arg_min(usual_amount, spread) as usual_amount
    from spreads
    group by series, scope
    having count(*) > 1
),

distances as (
    select
        ratios.series,
        ratios.scope,
        ratios.provider,
        ratios.city_id,
        ratios.year,
        ratios.per,
        ratios.amount,
        abs(ratios.amount - constants.usual_amount) as distance
    from ratios
    inner join constants using (series, scope)
),

final as (
    select
        series,
        scope,
        provider,
        city_id,
        year,
        arg_min(per, distance) as definition,
        min(distance) as distance,
        max(amount) - min(amount) as definitions_apart
    from distances
    group by series, scope, provider, city_id, year
)

select * from final
