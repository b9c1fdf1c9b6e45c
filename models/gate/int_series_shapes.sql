with

shown_series as (
    select * from {{ ref('int_shown_series') }}
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

series as (
    select * from {{ ref('series') }}
),

sources as (
    select * from {{ ref('int_series_sources') }}
),

-- Provider-specific limits override the general limits of series.csv.
limits as (
    select
        sources.series as quantity,
        sources.scope,
        sources.provider,
        sources.boundaries,
        {%- for limit in [
            'cell_min', 'cell_max', 'repeated_share_max', 'straight_share_max',
            'rising_share_max', 'shared_share_max', 'rank_correlation_min', 'growth_spread_max',
            'province_spread_max', 'year_factor_max', 'growth_factor_max'
        ] %}
        coalesce(
            cast(nullif(regexp_extract(sources.limits, '{{ limit }}=(\S+)', 1), '') as double), series.{{ limit }}
        ) as {{ limit }},
        {%- endfor %}
        series.agreeing_share_min
    from sources
    inner join series using (series)
),

cities as (
    select * from {{ ref('cities') }}
),

judged as (
    select
        conformed.*,
        shown_series.series is not null as is_shown
    from conformed
    left join shown_series using (series, scope)
    where
        conformed.value is not null
        and (conformed.series = conformed.quantity or shown_series.series is not null)
),

-- Resolution of the printed values: one for counts and other series in whole numbers, 0.01 for all others.
resolved as (
    select
        *,
        case when avg(case when value = round(value) then 1 else 0 end) over year_rows > 0.9 then 1 else 0.01 end
            as resolution
    from judged
    window year_rows as (partition by series, scope, year)
),

cells as (
    select
        *,
        case when lag(year) over city_years = year - 1 then lag(value) over city_years end as previous_value,
        case when lead(year) over city_years = year + 1 then lead(value) over city_years end as next_value,
        count(*) over (partition by series, scope, year, value) as city_count_of_value,
        max(value) over (partition by series, scope, year) as maximum_value
    from resolved
    window city_years as (partition by series, scope, city_id order by year)
),

-- Log change of each value from the previous year and from the next year. Adding ten times the resolution to both
-- values keeps small counts from producing large changes.
moved as (
    select
        cells.*,
        cities.name_zh,
        cities.province_name_zh,
        ln(
            (cells.value + 10 * cells.resolution) / (cells.previous_value + 10 * cells.resolution)
        ) as step,
        ln(
            (cells.value + 10 * cells.resolution) / (cells.next_value + 10 * cells.resolution)
        ) as step_back,
        case
            when cells.previous_value >= 10 * cells.resolution and cells.value > 0
                then ln(cells.value / cells.previous_value)
        end as growth,
        rank() over (
            partition by cells.series, cells.scope, cells.year, cells.previous_value is null order by cells.value
        ) as value_rank,
        rank() over (
            partition by cells.series, cells.scope, cells.year, cells.previous_value is null
            order by cells.previous_value
        ) as previous_rank
    from cells
    inner join cities using (city_id)
),

-- Number of cities per growth factor between two years. If one year is a copy or a multiple of another, nearly all
-- cities have the same factor.
factors as (
    select
        later.series,
        later.scope,
        later.year,
        earlier.year as earlier_year,
        round(ln(later.value / earlier.value), 3) as log_factor,
        count(*) as city_count
    from cells as later
    inner join cells as earlier
        on
            later.series = earlier.series
            and later.scope = earlier.scope
            and later.city_id = earlier.city_id
            and later.year > earlier.year
    where
        later.value >= 10 * later.resolution
        and earlier.value >= 10 * earlier.resolution
    group by later.series, later.scope, later.year, earlier.year, round(ln(later.value / earlier.value), 3)
),

commonest_factors as (
    select
        series,
        scope,
        year,
        earlier_year,
        max(city_count) / sum(city_count) as repeated_share
    from factors
    group by series, scope, year, earlier_year
    having sum(city_count) >= 20
),

repeats as (
    select
        series,
        scope,
        year,
        max(repeated_share) as repeated_share,
        arg_max(earlier_year, repeated_share) as repeated_year
    from commonest_factors
    group by series, scope, year
),

province_growth as (
    select
        series,
        scope,
        year,
        province_name_zh,
        ln(sum(value order by city_id) / sum(previous_value order by city_id)) as growth
    from moved
    where previous_value is not null
    group by series, scope, year, province_name_zh
    having
        sum(previous_value) >= 30 * max(resolution)
        and sum(value) > 0
),

province_spreads as (
    select
        series,
        scope,
        year,
        quantile_cont(growth, 0.75) - quantile_cont(growth, 0.25) as province_spread
    from province_growth
    group by series, scope, year
    having count(*) >= 8
),

-- Pairs of cities that agree in at least three series of a year, in values of four or more digits. Such a row was
-- probably copied from one city to the other.
copied_pairs as (
    select
        firsts.scope,
        firsts.year,
        firsts.city_id,
        seconds.city_id as other_city_id,
        list(distinct firsts.series) as shared_series
    from cells as firsts
    inner join limits using (quantity, scope, provider)
    inner join cells as seconds
        on
            firsts.series = seconds.series
            and firsts.scope = seconds.scope
            and firsts.year = seconds.year
            and firsts.value = seconds.value
            and firsts.city_id < seconds.city_id
    where
        firsts.city_count_of_value > 1
        and limits.boundaries is distinct from 'province'
        and firsts.value >= 1000 * firsts.resolution
    group by firsts.scope, firsts.year, firsts.city_id, seconds.city_id
    having count(distinct firsts.series) >= 3
),

copies as (
    select
        pairs.series,
        pairs.scope,
        pairs.year,
        {{ first_of("one.name_zh || ' = ' || other.name_zh", 'pairs.city_id, pairs.other_city_id') }} as copied_cities
    from (
        select
            * exclude (shared_series),
            unnest(shared_series) as series
        from copied_pairs
    ) as pairs
    inner join cities as one on pairs.city_id = one.city_id
    inner join cities as other on pairs.other_city_id = other.city_id
    group by pairs.series, pairs.scope, pairs.year
),

-- Nearest neighbour of each city, to which the city's records are most likely to be assigned by mistake.
nearest as (
    select
        one.city_id,
        arg_min(
            other.city_id,
            (one.latitude - other.latitude) ** 2
            + ((one.longitude - other.longitude) * cos(radians(one.latitude))) ** 2
        ) as nearest_city_id
    from cities as one
    inner join cities as other on one.city_id <> other.city_id
    group by one.city_id
),

typical_steps as (
    select
        series,
        scope,
        year,
        median(step) as typical_step
    from moved
    group by series, scope, year
),

-- Cities whose value falls below a tenth of the value expected from the median city's growth, while the nearest city
-- gains more than half of the loss: the records were probably assigned to the wrong city.
rebooked as (
    select
        moved.series,
        moved.scope,
        moved.year,
        {{ first_of("moved.name_zh || ' = ' || other.name_zh", 'moved.city_id') }} as rebooked_cities,
        count(*) as rebooked_count
    from moved
    inner join typical_steps using (series, scope, year)
    inner join nearest using (city_id)
    inner join moved as other
        on
            nearest.nearest_city_id = other.city_id
            and moved.series = other.series
            and moved.scope = other.scope
            and moved.year = other.year
    where
        moved.previous_value >= 20 * moved.resolution
        and 10 * moved.value < moved.previous_value * exp(typical_steps.typical_step)
        and other.value - other.previous_value * exp(typical_steps.typical_step)
        > 0.5 * (moved.previous_value * exp(typical_steps.typical_step) - moved.value)
    group by moved.series, moved.scope, moved.year
),

-- Counts by city and year, and the largest count of each city, in which to detect the suppression of small counts:
-- zeros and counts of five to nine occur, but no count of one to four.
counts as (
    select
        series,
        scope,
        year,
        value,
        false as is_largest
    from cells
    where resolution = 1
    union all
    select
        series,
        scope,
        max(max(year)) over (partition by series, scope) as year,
        max(value) as value,
        true as is_largest
    from cells
    where resolution = 1
    group by series, scope, city_id
),

counted as (
    select
        series,
        scope,
        year,
        count(case when value between 1 and 4 then 1 end) = 0
        and count(case when value between 5 and 9 then 1 end) >= 20
        and count(case when value = 0 then 1 end) >= 10 as is_suppressed
    from counts
    group by series, scope, year, is_largest
),

suppressed as (
    select
        series,
        scope,
        year,
        bool_or(is_suppressed) as is_suppressed
    from counted
    group by series, scope, year
),

agreements as (
    select
        series as quantity,
        scope,
        first_provider as provider,
        second_provider,
        year,
        avg(case when abs(first_ln - second_ln) < 0.1 then 1 else 0 end) as agreeing_share
    from source_pairs
    where
        first_ln is not null
        and second_ln is not null
    group by series, scope, first_provider, second_provider, year
    having count(*) >= 20
),

least_agreements as (
    select
        quantity,
        scope,
        provider,
        year,
        min(agreeing_share) as agreeing_share,
        arg_min(second_provider, agreeing_share) as second_provider
    from agreements
    group by quantity, scope, provider, year
),

summed as (
    select
        moved.series,
        moved.quantity,
        moved.scope,
        moved.provider,
        moved.year,
        bool_or(moved.is_shown) as is_shown,
        -- Exclude series delivered by province, because all cities of a province share one value.
        count(
            case
                when
                    moved.value = moved.maximum_value
                    and moved.value >= 100 * moved.resolution
                    and limits.boundaries is distinct from 'province'
                    then 1
            end
        ) as cities_at_maximum,
        {{ share_of(
            'moved.city_count_of_value > 1', 'moved.value >= 1000 * moved.resolution'
        ) }} as shared_share,
        {{ share_of(
            'least(abs(moved.value - (moved.previous_value + moved.next_value) / 2), '
            'abs(moved.value - sqrt(moved.previous_value * moved.next_value))) <= 1.01 * moved.resolution',
            'moved.value >= 100 * moved.resolution and moved.previous_value > 0 and moved.next_value > 0 '
            'and abs(moved.next_value - moved.previous_value) >= 20 * moved.resolution'
        ) }} as straight_share,
        {{ share_of(
            'moved.value >= moved.previous_value', 'moved.previous_value >= 10 * moved.resolution'
        ) }} as rising_share,
        case
            when count(moved.previous_value) >= 20
                then
                    corr(moved.value_rank, moved.previous_rank order by moved.city_id)
                    filter (where moved.previous_value is not null)
        end as rank_correlation,
        case
            when count(moved.growth) >= 20
                then quantile_cont(moved.growth, 0.75) - quantile_cont(moved.growth, 0.25)
        end as growth_spread,
        {{ first_of(
            "moved.name_zh || ' ' || round(moved.value, 2)", 'moved.city_id',
            'moved.value < limits.cell_min or moved.value > limits.cell_max'
        ) }} as out_of_bounds_cities,
        {{ first_of(
            "moved.name_zh || ' ' || round(moved.value, 2) || ' (factor '"
            " || round(exp(least(abs(moved.step), abs(moved.step_back))), 2) || ')'", 'moved.city_id',
            'moved.step * moved.step_back > 0 '
            'and least(abs(moved.step), abs(moved.step_back)) > ln(limits.year_factor_max)'
        ) }} as odd_year_cities,
        {{ first_of(
            "moved.name_zh || ' ' || round(moved.value, 2) || ' (factor ' || round(exp(abs(moved.step)), 2) || ')'",
            'moved.city_id',
            'abs(moved.step) > ln(limits.growth_factor_max)'
        ) }} as jumping_cities
    from moved
    inner join limits using (quantity, scope, provider)
    group by moved.series, moved.quantity, moved.scope, moved.provider, moved.year
),

final as (
    select
        summed.* exclude (quantity),  -- noqa: RF02
        repeats.repeated_share,
        case when repeats.repeated_share > limits.repeated_share_max then repeats.repeated_year end as repeated_year,
        province_spreads.province_spread,
        copies.copied_cities,
        case when rebooked.rebooked_count >= {{ var('rebooked_cities') }} then rebooked.rebooked_cities end
            as rebooked_cities,
        coalesce(suppressed.is_suppressed, false) as is_suppressed,
        least_agreements.agreeing_share,
        least_agreements.second_provider,
        limits.repeated_share_max,
        limits.straight_share_max,
        limits.rising_share_max,
        limits.shared_share_max,
        limits.rank_correlation_min,
        limits.growth_spread_max,
        limits.province_spread_max,
        limits.agreeing_share_min
    from summed
    inner join limits using (quantity, scope, provider)
    left join repeats using (series, scope, year)
    left join province_spreads using (series, scope, year)
    left join copies using (series, scope, year)
    left join rebooked using (series, scope, year)
    left join suppressed using (series, scope, year)
    left join least_agreements using (quantity, scope, provider, year)
)

select * from final
