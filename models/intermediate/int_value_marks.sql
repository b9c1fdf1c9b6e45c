{%- set limit = var('doubtful_spreads') -%}
with

deviations as (
    select * from {{ ref('int_value_deviations') }}
),

alone as (
    select * from deviations
    where kind = 'alone'
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
    where value is not null
),

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

series as (
    select * from {{ ref('series') }}
),

cities as (
    select * from {{ ref('dim_city') }}
),

-- Values far from the surrounding years or, between two opposite breaks, far from the years outside the breaks.
off_neighbours as (
    select
        *,
        case
            when abs(score) > {{ limit }} then deviation
            else coalesce(distance_between_breaks, spike)
        end as distance
    from alone
    where
        is_off
        or distance_between_breaks is not null
        or spike is not null
),

-- Second providers that report the same quantity as the first provider: at least half of their values agree within 0.5
-- %. Other second providers are not compared.
second_sources as (
    select
        series as quantity,
        scope,
        first_provider as provider,
        second_provider
    from source_pairs
    group by series, scope, first_provider, second_provider
    having median(abs(first_ln - second_ln)) < 0.005
),

compared_sources as (
    select
        conformed.series,
        conformed.scope,
        conformed.provider,
        conformed.city_id,
        conformed.year,
        conformed.value,
        second_sources.quantity || '@' || second_sources.second_provider as compared_with,
        source_pairs.first_ln - source_pairs.second_ln as amount
    from conformed
    inner join second_sources using (quantity, scope, provider)
    left join source_pairs
        on
            conformed.quantity = source_pairs.series
            and conformed.scope = source_pairs.scope
            and conformed.provider = source_pairs.first_provider
            and second_sources.second_provider = source_pairs.second_provider
            and conformed.city_id = source_pairs.city_id
            and conformed.year = source_pairs.year
    where conformed.is_spliced is not true
),

-- Log difference between two providers in the surrounding years. If the second provider has no value in a year, the
-- year is judged by the years before and after if both differences have the same sign. A city's first year is judged by
-- the next year.
sources_around as (
    select
        *,
        last_value(amount ignore nulls) over (city_years rows between 2 preceding and 1 preceding) as amount_before,
        first_value(amount ignore nulls) over (city_years rows between 1 following and 2 following) as amount_after,
        lead(amount) over city_years as next_amount
    from compared_sources
    window city_years as (partition by series, scope, compared_with, city_id order by year)
),

source_distances as (
    select
        * exclude (amount),
        coalesce(
            amount,
            case
                when amount_before * amount_after > 0
                    then sign(amount_before) * least(abs(amount_before), abs(amount_after))
                when year = min(year) over (partition by series, scope, compared_with, city_id) then next_amount
            end
        ) as deviation
    from sources_around
),

off_sources as (
    select
        *,
        'second source' as rule,
        deviation / ln({{ var('factor_of_two_sources') }}) as score
    from source_distances
    where abs(deviation) > ln({{ var('factor_of_two_sources') }})
),

-- Ratios with a flag for a ratio of exactly one. Such a value was probably copied from the denominator, unless the two
-- series are usually equal in the city or the year, as GDP and the sum of its sectors are.
ratios as (
    select
        *,
        median(amount) over same_city as usual_amount,
        amount = 0
        and least(abs(median(amount) over same_year), abs(median(amount) over same_city)) > 0.01 as is_same_value
    from deviations
    where kind = 'row'
    window
        same_year as (partition by series, scope, compared_with, year),
        same_city as (partition by series, scope, compared_with, city_id)
),

-- Ratios that deviate from their usual level. At least one value in each ratio is wrong; the CTE `suspects` selects
-- which one.
off_ratios as (
    select
        series,
        scope,
        provider,
        city_id,
        year,
        value,
        compared_with,
        per,
        case
            when is_same_value then 'same value'
            when is_off then 'same row'
            else 'other cities'
        end as rule,
        case
            when is_same_value then -usual_amount
            when is_off then deviation
            else level_deviation
        end as deviation,
        case when is_off or is_same_value then score else level_score end as score
    from ratios
    where
        is_off
        or is_same_value
        or (abs(level_score) > {{ var('doubtful_level_spreads') }} and abs(level_deviation) > ln(factor_min))
    union all by name
    select * from off_sources
),

members as (
    select
        *,
        unnest(list_prepend(series, string_split_regex(compared_with, '[+/]'))) as member
    from off_ratios
),

-- The most suspicious value of each deviating ratio: the one furthest from its neighbouring years. The numerator has a
-- score of at least 3, so it is selected unless another value is clearly worse.
suspects as (
    select
        members.*,
        alone.series as suspect,
        alone.provider as suspect_provider,
        alone.value as suspect_value
    from members
    inner join alone
        on
            members.member = alone.series
            and members.scope = alone.scope
            and members.city_id = alone.city_id
            and members.year = alone.year
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
        deviation * case when suspect = series or suspect = per then 1 else -1 end as distance,
        score
    from suspects
),

-- Further values of the same provider, city and year as a marked value. They are marked at half the usual limit if they
-- deviate in the same direction.
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
    from alone
    anti join found as known using (series, scope, city_id, year)
    inner join found
        on
            alone.provider = found.provider
            and alone.scope = found.scope
            and alone.city_id = found.city_id
            and alone.year = found.year
            and alone.series <> found.series
    where
        found.rule = 'neighbours'
        and abs(found.distance) > ln(2)
        and abs(alone.score) > {{ limit }} / 2
        and alone.score * found.score > 0
        and abs(alone.deviation) > ln(2)
    group by all
),

-- Expected change of each stock: entries minus exits, if both were delivered.
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
    where series.flow_sign is not null
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

-- Values with the unit of their last printed digit. Digits after the seventh are ignored, because they are noise in
-- single-precision files.
printed as (
    select
        conformed.*,
        power(10, -len(regexp_extract(printf('%.7g', conformed.value), '^\d+\.(\d+)$', 1))) as resolution
    from conformed
    inner join series on conformed.quantity = series.series
    where
        conformed.value > 0
        and series.interpolates is null
),

printed_steps as (
    select
        *,
        lag(value) over city_years as previous_value,
        greatest(resolution, lag(resolution) over city_years) as coarser_resolution
    from printed
    window city_years as (partition by series, scope, city_id order by year)
    qualify lag(year) over city_years = year - 1
),

-- Probability that a value equals the previous year's in every printed digit: the density of growth at zero times the
-- width of one digit. Growth is assumed to be normal, with the robust standard deviation of the series.
repeat_chances as (
    select
        *,
        abs(value - previous_value) <= 0.5 * coarser_resolution as is_repeat,
        least(
            1,
            coarser_resolution
            / (
                value * sqrt(2 * pi()) * 1.4826
                * median(abs(ln(value / previous_value))) over (partition by series, scope)
            )
        ) as chance
    from printed_steps
),

repeated_cells as (
    select
        *,
        chance * case when lag(year) over city_years = year - 1 then lag(chance) over city_years else 1 end
            as chance_of_run
    from repeat_chances
    where
        is_repeat
        and chance < {{ var('chance_of_a_member') }}
    window city_years as (partition by series, scope, city_id order by year)
),

-- Probability of each repeated series of a city-year, multiplied over the series in the next CTE. If two providers
-- repeat a series, the smaller probability counts.
repeated_quantities as (
    select
        quantity,
        city_id,
        year,
        min(chance) as chance
    from repeated_cells
    group by quantity, city_id, year
),

repeated_rows as (
    select
        city_id,
        year,
        exp(sum(ln(chance))) as chance_of_row
    from repeated_quantities
    group by city_id, year
),

off_repeats as (
    select
        repeated.series,
        repeated.scope,
        repeated.provider,
        repeated.city_id,
        repeated.year,
        'repeat' as rule,
        '' as compared_with,
        repeated.value,
        coalesce(alone.deviation, 0) as distance,
        -log10(least(repeated.chance_of_run, repeated_rows.chance_of_row)) as score
    from repeated_cells as repeated
    inner join repeated_rows using (city_id, year)
    left join alone using (series, scope, city_id, year)
    where least(repeated.chance_of_run, repeated_rows.chance_of_row) < {{ var('chance_of_a_repeat') }}
),

cities_of_provinces as (
    select
        *,
        count(*) over (partition by province_id) as city_count
    from cities
),

off_province_totals as (
    select
        conformed.series,
        conformed.scope,
        conformed.provider,
        conformed.city_id,
        conformed.year,
        'province total' as rule,
        totals.series as compared_with,
        conformed.value,
        coalesce(alone.deviation, 0) as distance,
        -log10(0.00000001) as score
    from conformed
    left join alone using (series, scope, city_id, year)
    inner join conformed as totals
        on
            'province_' || conformed.quantity = totals.series
            and conformed.scope = totals.scope
            and conformed.city_id = totals.city_id
            and conformed.year = totals.year
    inner join cities_of_provinces as places on conformed.city_id = places.city_id
    where
        places.city_count > 1
        and abs(conformed.value - totals.value) <= 0.0001 * totals.value
),

every_rule as (
    select * from found
    union all by name
    select * from beside_found
    union all by name
    select * from off_flows
    union all by name
    select * from off_repeats
    union all by name
    select * from off_province_totals
),

final as (
    select *
    from every_rule
    qualify
        row_number() over (
            partition by series, scope, city_id, year, rule
            order by abs(score) desc, compared_with
        ) = 1
)

select * from final
