{#-
Quantities whose spread is estimated: the deviation from neighbouring years, and the step from the previous year.
-#}
{%- set spread = {'deviation': 'deviation', 'step': 'own_step'} -%}
with

-- Series delivered by province. They are excluded below, because all cities of a province share one value.
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

cities as (
    select * from {{ ref('dim_city') }}
),

-- Checks on ratios. The denominator is the sum of the series in compared_with, divided by the series `per` if the check
-- names one.
checks as (
    select
        * replace (concat_ws('/', compared_with, per) as compared_with),
        compared_with as terms
    from {{ ref('value_checks') }}
),

-- Values with a flag for series in whole numbers; all other series are printed with two decimals.
resolved as (
    select
        *,
        avg(case when value = round(value) then 1 else 0 end) over (partition by series, scope, year) > 0.9 as is_whole
    from conformed
),

terms as (
    select
        series,
        scope,
        compared_with,
        unnest(string_split(terms, '+')) as term,
        len(string_split(terms, '+')) as term_count
    from checks
),

compared as (
    select
        terms.series,
        terms.scope,
        terms.compared_with,
        resolved.city_id,
        resolved.year,
        sum(resolved.value order by terms.term) as value
    from terms
    inner join resolved
        on
            terms.term = resolved.series
            and terms.scope = resolved.scope
    group by terms.series, terms.scope, terms.compared_with, terms.term_count, resolved.city_id, resolved.year
    having count(*) = terms.term_count
),

ratios as (
    select
        resolved.*,
        checks.compared_with,
        checks.per,
        'row' as kind,
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

-- Log values and log ratios to compare over time; compared_with is empty for values without a denominator. Ten units of
-- the last printed digit are added before taking the log, so that small counts do not produce large changes.
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

-- National median step per series and year, used below for provinces with fewer than five cities. A step that most
-- cities of a province share is not a deviation of one city, and is checked by int_province_steps.
country_steps as (
    select
        series,
        scope,
        compared_with,
        year,
        median(step) as typical_step
    from steps
    group by series, scope, compared_with, year
),

province_steps as (
    select
        steps.series,
        steps.scope,
        steps.compared_with,
        cities.province_id,
        steps.year,
        case when count(steps.step) >= 5 then median(steps.step) end as typical_step
    from steps
    inner join cities using (city_id)
    group by steps.series, steps.scope, steps.compared_with, cities.province_id, steps.year
),

typical_steps as (
    select
        province_steps.* exclude (typical_step),
        coalesce(province_steps.typical_step, country_steps.typical_step, 0) as typical_step
    from province_steps
    inner join country_steps using (series, scope, compared_with, year)
),

trends as (
    select
        *,
        sum(typical_step) over (partition by series, scope, compared_with, province_id order by year) as trend
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
    inner join cities using (city_id)
    inner join trends using (series, scope, compared_with, province_id, year)
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

-- Robust standard deviations, by city size, by city and for levels. For normally distributed deviations, 1.4826 median
-- absolute deviations equal one standard deviation.
spreads as (
    select
        *,
        {%- for name, value in spread.items() %}
        greatest(
            1.4826 * median(abs({{ value }})) over (partition by series, scope, compared_with, size),
            quantile_cont(abs({{ value }}), 0.95) over (partition by series, scope, compared_with, size) / 1.96
        ) as size_{{ name }}_spread,
        1.4826 * median(abs({{ value }})) over (partition by series, scope, compared_with, city_id)
            as city_{{ name }}_spread,
        {%- endfor %}
        1.4826 * median(abs(above_median)) over (partition by series, scope, compared_with) as level_spread
    from deviations
),

-- Deviations divided by their standard deviation. A volatile city uses its own spread, up to 1.5 times the spread of
-- cities of similar size. Counts add a Poisson variance, which enters twice for a step between two counts.
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
        case when lead(year) over city_years = year + 1 then lead(own_step) over city_years end as next_step,
        lead(step_score) over city_years as next_step_score,
        {%- for name, frame in {
            'before': '3 preceding and 1 preceding', 'from_here': 'current row and 2 following'
        }.items() %}
        median(level) over (city_years range between {{ frame }}) as level_{{ name }},
        count(level) over (city_years range between {{ frame }}) as year_count_{{ name }},
        {%- endfor %}
        case
            when abs(step_score) > {{ var('doubtful_spreads') }} and abs(own_step) > ln({{ var('factor_of_a_break') }})
                then own_step
            else 0
        end as break
    from scored
    window city_years as (partition by series, scope, compared_with, city_id order by year)
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
        is_whole,
        step,
        own_step,
        case
            when
                own_step * next_step < 0
                and least(abs(step_score), abs(next_step_score)) > {{ var('spike_spreads') }}
                and least(abs(own_step), abs(next_step)) > ln(factor_min)
                then sign(own_step) * least(abs(own_step), abs(next_step))
        end as spike,
        level_from_here - level_before as shift,
        least(year_count_before, year_count_from_here) as shift_years,
        case when judges_level then above_median end as level_deviation,
        case when judges_level then level_score end as level_score,
        -- Between two opposite breaks, a value deviates in the same direction from the city's first and last years.
        case
            when
                above_first * above_last > 0
                and least(abs(above_first), abs(above_last)) > ln({{ var('factor_of_a_break') }})
                then sign(above_first) * least(abs(above_first), abs(above_last))
        end as distance_between_breaks
    from broken
)

select * from final
