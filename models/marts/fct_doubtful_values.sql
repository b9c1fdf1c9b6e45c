{%- set limit = var('doubtful_spreads') -%}
with

deviations as (
    select * from {{ ref('int_value_deviations') }}
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

series as (
    select * from {{ ref('series') }}
),

used as (
    select distinct
        series,
        scope
    from {{ ref('dim_specification_series') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

-- By itself, against the years around it or the years beyond two breaks.
off_neighbours as (
    select
        *,
        case when abs(score) > {{ limit }} then deviation else distance_between_breaks end as distance
    from deviations
    where
        kind = 'alone'
        and (is_off or distance_between_breaks is not null)
),

-- A ratio that is off says that one of its values is wrong.
off_ratios as (
    select
        *,
        case
            when kind = 'second source' then kind
            when amount = 0 then 'same value'
            when is_off then 'same row'
            else 'other cities'
        end as rule
    from deviations
    where
        kind <> 'alone'
        and (
            is_off
            or (amount = 0 and abs(deviation) > 0.01 and kind = 'row')
            or (abs(level_score) > {{ var('doubtful_level_spreads') }} and abs(level_deviation) > ln(factor_min))
        )
),

members as (
    select
        *,
        unnest(
            list_filter(
                list_concat([series, per], string_split(compared_with, '+')), lambda name: name is not null
            )
        ) as member
    from off_ratios
),

-- It is the one that is furthest from its own neighbours, or else the one that the check is of.
suspects as (
    select
        members.*,
        alone.series as suspect,
        alone.provider as suspect_provider,
        alone.value as suspect_value,
        alone.score as suspect_score
    from members
    inner join deviations as alone
        on
            members.member = alone.series
            and members.scope = alone.scope
            and members.city_id = alone.city_id
            and members.year = alone.year
            and alone.kind = 'alone'
    qualify
        row_number() over (
            partition by
                members.series, members.scope, members.compared_with, members.city_id, members.year
            order by
                greatest(
                    abs(coalesce(alone.score, 0)), case when members.member = members.series then 3 else 0 end
                ) desc,
                members.member = members.series desc,
                members.member
        ) = 1
),

found as (
    select
        series,
        scope,
        provider,
        city_id,
        year,
        'neighbours' as rule,
        '' as compared_with,
        value,
        distance,
        score
    from off_neighbours
    union all by name
    select
        suspect as series,
        scope,
        suspect_provider as provider,
        city_id,
        year,
        rule,
        case when suspect = series then compared_with else series end as compared_with,
        suspect_value as value,
        case when rule = 'other cities' then level_deviation else deviation end
        * case when suspect in (series, per) then 1 else -1 end as distance,
        case when rule = 'other cities' then level_score else score end as score
    from suspects
),

-- Where one value of a provider is off, half the distance makes another of the same city and year doubtful.
beside_found as (
    select
        alone.series,
        alone.scope,
        alone.provider,
        alone.city_id,
        alone.year,
        'same delivery' as rule,
        min(found.series) as compared_with,
        alone.value,
        alone.deviation as distance,
        alone.score
    from deviations as alone
    inner join found
        on
            alone.provider = found.provider
            and alone.scope = found.scope
            and alone.city_id = found.city_id
            and alone.year = found.year
            and alone.series <> found.series
    left join found as known
        on
            alone.series = known.series
            and alone.scope = known.scope
            and alone.city_id = known.city_id
            and alone.year = known.year
    where
        alone.kind = 'alone'
        and known.series is null
        and found.rule = 'neighbours'
        and abs(found.distance) > ln(2)
        and abs(alone.score) > {{ limit }} / 2
        and alone.score * found.score > 0
        and abs(alone.deviation) > ln(2)
    group by all
),

-- What a stock is by that of the year before, where what enters and what leaves were both delivered.
flows as (
    select
        series.stock_series,
        conformed.scope,
        conformed.city_id,
        conformed.year,
        conformed.provider,
        sum(series.flow_sign * conformed.value) as growth
    from conformed
    inner join series using (series)
    where
        series.flow_sign is not null
        and conformed.value is not null
    group by series.stock_series, conformed.scope, conformed.city_id, conformed.year, conformed.provider
    having count(*) = 2
),

off_flows as (
    select
        later.series,
        later.scope,
        later.provider,
        later.city_id,
        later.year,
        'stock and flows' as rule,
        '' as compared_with,
        later.value,
        ln((later.value + 1) / (greatest(earlier.value + flows.growth, 0) + 1)) as distance,
        abs(later.value - earlier.value - flows.growth) as score
    from conformed as later
    inner join conformed as earlier
        on
            later.series = earlier.series
            and later.scope = earlier.scope
            and later.city_id = earlier.city_id
            and later.year = earlier.year + 1
    inner join flows
        on
            later.series = flows.stock_series
            and later.scope = flows.scope
            and later.provider = flows.provider
            and later.city_id = flows.city_id
            and later.year = flows.year
    where abs(later.value - earlier.value - flows.growth) > greatest(1, 0.01 * later.value)
),

every_rule as (
    select * from found
    union all by name
    select * from beside_found
    union all by name
    select * from off_flows
),

final as (
    select
        {{ extract_set() }} as extract_set,
        every_rule.city_id,
        cities.name_zh,
        cities.name_en,
        cast(every_rule.year as integer) as year,
        every_rule.series,
        every_rule.scope,
        every_rule.provider,
        every_rule.rule,
        every_rule.compared_with,
        every_rule.value,
        every_rule.value / exp(every_rule.distance) as expected_value,
        exp(abs(every_rule.distance)) as factor,
        abs(every_rule.score) as spreads,
        used.series is not null as is_used
    from every_rule
    left join cities using (city_id)
    left join used using (series, scope)
    qualify
        row_number() over (
            partition by
                every_rule.city_id, every_rule.year, every_rule.series, every_rule.scope, every_rule.rule
            order by abs(every_rule.score) desc, every_rule.compared_with
        ) = 1
)

select * from final
