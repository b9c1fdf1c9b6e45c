{#- What is spread: how far a value lies from its neighbours, and how far it moved from the year before. -#}
{%- set spread = {'deviation': 'deviation', 'step': 'own_step'} -%}
with

-- Of a series by province all its cities share the value.
by_province as (
    select distinct
        series as quantity,
        scope
    from {{ ref('int_series_sources') }}
    where boundaries = 'province'
),

conformed as (
    select conformed.*
    from {{ ref('int_series_conformed') }} as conformed
    left join by_province using (quantity, scope)
    where
        conformed.value >= 0
        and by_province.quantity is null
),

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

declared_checks as (
    select * from {{ ref('value_checks') }}
),

-- A second source is compared where it repeats the first in half of the cells.
second_sources as (
    select
        conformed.series,
        conformed.scope,
        source_pairs.series || '@' || source_pairs.second_provider as compared_with
    from source_pairs
    inner join conformed
        on
            source_pairs.series = conformed.quantity
            and source_pairs.scope = conformed.scope
            and source_pairs.first_provider = conformed.provider
            and source_pairs.city_id = conformed.city_id
            and source_pairs.year = conformed.year
    group by conformed.series, conformed.scope, source_pairs.series, source_pairs.second_provider
    having median(abs(source_pairs.first_ln - source_pairs.second_ln)) < 0.005
),

checks as (
    select
        *,
        'row' as kind
    from declared_checks
    union all by name
    select
        *,
        'second source' as kind,
        {{ var('factor_of_two_sources') }} as factor_min,
        false as judges_level
    from second_sources
),

-- Counts, and what is printed in whole numbers, cannot tell less than one apart; the rest is printed to a hundredth.
resolved as (
    select
        *,
        avg(case when value = round(value) then 1 else 0 end) over (partition by series, scope, year) > 0.9 as is_whole
    from conformed
),

-- What a check compares with may be the sum of several series.
addends as (
    select
        series,
        scope,
        compared_with,
        unnest(string_split(compared_with, '+')) as addend,
        len(string_split(compared_with, '+')) as addend_count
    from checks
),

compared as (
    select
        addends.series,
        addends.scope,
        addends.compared_with,
        resolved.city_id,
        resolved.year,
        sum(resolved.value order by addends.addend) as value
    from addends
    inner join resolved
        on
            addends.addend = resolved.series
            and addends.scope = resolved.scope
    group by
        addends.series, addends.scope, addends.compared_with, addends.addend_count, resolved.city_id, resolved.year
    having count(*) = addends.addend_count
),

ratios as (
    select
        resolved.*,
        checks.compared_with,
        checks.per,
        checks.kind,
        checks.factor_min,
        checks.judges_level,
        ln(resolved.value) - ln(compared.value) + coalesce(ln(divisors.value), 0) as amount
    from checks
    inner join resolved using (series, scope)
    inner join compared using (series, scope, compared_with, city_id, year)
    left join resolved as divisors
        on
            checks.per = divisors.series
            and checks.scope = divisors.scope
            and resolved.city_id = divisors.city_id
            and resolved.year = divisors.year
    where
        resolved.value > 0
        and compared.value > 0
        and (checks.per is null or divisors.value > 0)
),

-- A value by itself is compared with nothing; ten units are added, so that a handful that doubles is no jump.
amounts as (
    select
        *,
        '' as compared_with,
        'alone' as kind,
        {{ var('factor_of_neighbours') }} as factor_min,
        false as judges_level,
        ln(value + case when is_whole then 10 else 0.1 end) as amount
    from resolved
    union all by name
    select * replace (false as is_whole) from ratios
),

steps as (
    select
        *,
        case when lag(year) over city_years = year - 1 then amount - lag(amount) over city_years end as step
    from amounts
    window city_years as (partition by series, scope, compared_with, city_id order by year)
),

-- What moves all cities in a year is no deviation of one.
typical_steps as (
    select
        series,
        scope,
        compared_with,
        year,
        median(step) as typical_step
    from steps
    group by series, scope, compared_with, year
),

trends as (
    select
        *,
        sum(coalesce(typical_step, 0)) over (partition by series, scope, compared_with order by year) as trend
    from typical_steps
),

levels as (
    select
        steps.*,
        steps.amount - trends.trend as level,
        steps.step - trends.typical_step as own_step,
        steps.amount - median(steps.amount) over (
            partition by steps.series, steps.scope, steps.compared_with, steps.year
        ) as above_median
    from steps
    inner join trends using (series, scope, compared_with, year)
),

sizes as (
    select
        series,
        scope,
        compared_with,
        city_id,
        ntile(4) over (partition by series, scope, compared_with order by median(level), city_id) as size
    from levels
    group by series, scope, compared_with, city_id
),

deviations as (
    select
        levels.*,
        sizes.size,
        case
            when count(levels.level) over nearby >= 2 then levels.level - median(levels.level) over nearby
        end as deviation
    from levels
    inner join sizes using (series, scope, compared_with, city_id)
    window
        nearby as (
            partition by levels.series, levels.scope, levels.compared_with, levels.city_id
            order by levels.year range between 3 preceding and 3 following exclude current row
        )
),

-- 1.4826 median absolute deviations are a standard deviation, if deviations are normal. What differs from a second
-- source is what is looked for, so that its tail does not widen the limit.
spreads as (
    select
        *,
        {%- for name, value in spread.items() %}
        greatest(
            1.4826 * median(abs({{ value }})) over (partition by series, scope, compared_with, size),
            case
                when kind <> 'second source'
                    then
                        quantile_cont(abs({{ value }}), 0.95) over (partition by series, scope, compared_with, size)
                        / 1.96
            end
        ) as size_{{ name }}_spread,
        1.4826 * median(abs({{ value }})) over (partition by series, scope, compared_with, city_id)
            as city_{{ name }}_spread,
        {%- endfor %}
        1.4826 * median(abs(above_median)) over (partition by series, scope, compared_with) as level_spread
    from deviations
),

-- A city that always moves more is allowed half as much again. A count has the error of a count besides, a step of two.
scored as (
    select
        *,
        {%- for name, value in spread.items() %}
        {{ value }} / sqrt(
            greatest(size_{{ name }}_spread, least(city_{{ name }}_spread, 1.5 * size_{{ name }}_spread)) ** 2
            + case when is_whole then {{ loop.index }} * exp({{ value }} - amount) else 1e-6 end
        ) as {{ name }}_score,
        {%- endfor %}
        above_median / greatest(level_spread, 1e-3) as level_score
    from spreads
),

breaks as (
    select
        *,
        case
            when abs(step_score) > {{ var('doubtful_spreads') }} and abs(own_step) > ln({{ var('factor_of_a_break') }})
                then own_step
            else 0
        end as break
    from scored
),

broken as (
    select
        *,
        sum(break) over city_years_so_far as above_first,
        sum(break) over city_years_so_far
        - sum(break) over (
            city_years_so_far rows between unbounded preceding and unbounded following
        ) as above_last
    from breaks
    window city_years_so_far as (partition by series, scope, compared_with, city_id order by year)
),

final as (
    select
        series,
        scope,
        provider,
        city_id,
        year,
        compared_with,
        per,
        kind,
        value,
        amount,
        factor_min,
        deviation,
        deviation_score as score,
        coalesce(
            abs(deviation_score) > {{ var('doubtful_spreads') }} and abs(deviation) > ln(factor_min), false
        ) as is_off,
        case when judges_level then above_median end as level_deviation,
        case when judges_level then level_score end as level_score,
        -- Between two breaks a value is on one side of the first years and of the last.
        case
            when
                above_first * above_last > 0
                and least(abs(above_first), abs(above_last)) > ln({{ var('factor_of_a_break') }})
                then sign(above_first) * least(abs(above_first), abs(above_last))
        end as distance_between_breaks
    from broken
)

select * from final
