{%- set shift, moved = var('capital_shift'), var('moved_share') %}
with

headline_series as (
    select distinct
        series,
        scope
    from {{ ref('dim_specification_series') }}
    where
        is_headline
        and series is not null
),

-- A series of a non-default provider is checked only if a headline specification uses the series.
{%- for relation in ['sourced', 'conformed'] %}

{{ relation }} as (
    select {{ relation }}.*
    from {{ ref('int_series_' ~ relation) }} as {{ relation }}
    left join headline_series using (series, scope)
    where
        {{ relation }}.series = {{ relation }}.quantity
        or headline_series.series is not null
),
{%- endfor %}

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

expected_coverage as (
    select
        series as quantity,
        * exclude (series)
    from {{ ref('expected_coverage') }}
    where city_id is null
),

series as (
    select
        series as quantity,
        * exclude (series)
    from {{ ref('series') }}
),

cities as (
    select * from {{ ref('cities') }}
),

declared_revisions as (
    select unnest(declared_revisions, recursive := true)
    from {{ ref('raw_extract_set') }}
),

delivered_series as (
    select
        series,
        quantity,
        scope,
        max(case when is_spliced then null else provider end) as provider
    from conformed
    group by series, quantity, scope
),

-- Agreement of each further provider with the first provider of a series, over the cities and years that both deliver.
common as (
    select
        series as quantity,
        scope,
        first_provider,
        second_provider as provider,
        min(year) || '-' || max(year) as common_years,
        count(distinct year) as common_year_count,
        avg(case when abs(second_value - first_value) <= 0.01 * first_value then 1 else 0 end) as close_share,
        median(second_value / nullif(first_value, 0)) as median_ratio
    from source_pairs
    group by series, scope, first_provider, second_provider
),

years as (
    select cast(range as integer) as year
    from range({{ period('first_year') }}, {{ period('last_year') }} + 1)
),

-- Number of delivered values per series and year. Cities that a source omits are not yet filled with zeros here,
-- because these zeros would hide an incomplete delivery.
delivered as (
    select
        series,
        scope,
        year,
        count(value) as city_count
    from sourced
    group by series, scope, year
),

delivered_provinces as (
    select
        sourced.series,
        sourced.scope,
        sourced.year,
        cities.province_name_zh
    from sourced
    inner join cities using (city_id)
    where sourced.value is not null
    group by sourced.series, sourced.scope, sourced.year, cities.province_name_zh
),

-- Provinces with values in the previous year but none in this year. The limit on the share of missing cities would not
-- detect this, because a single province contains few of the cities.
lost_provinces as (
    select
        earlier.series,
        earlier.scope,
        earlier.year + 1 as year,
        string_agg(earlier.province_name_zh, ', ' order by earlier.province_name_zh) as lost_provinces
    from delivered_provinces as earlier
    left join delivered_provinces as later
        on
            earlier.series = later.series
            and earlier.scope = later.scope
            and earlier.year + 1 = later.year
            and earlier.province_name_zh = later.province_name_zh
    where later.year is null
    group by earlier.series, earlier.scope, earlier.year
),

listed_series as (
    select distinct
        series,
        scope
    from sourced
    where absent_row = 'zero'
),

-- Cities that a source omits although their previous count was too large to have fallen to zero. Without this list,
-- such a city would look like a city with a count of zero.
vanished_cities as (
    select
        conformed.series,
        conformed.scope,
        conformed.year,
        string_agg(cities.name_zh, ', ' order by cities.city_id) as vanished_cities
    from conformed
    inner join cities using (city_id)
    inner join listed_series using (series, scope)
    left join sourced using (series, scope, year, city_id)
    where
        conformed.value is null
        and sourced.city_id is null
    group by conformed.series, conformed.scope, conformed.year
),

counted as (
    select
        delivered_series.series,
        delivered_series.quantity,
        delivered_series.scope,
        delivered_series.provider as first_provider,
        coalesce(max(conformed.provider), delivered_series.provider) as provider,
        coalesce(bool_or(conformed.is_spliced), false) as is_spliced,
        years.year,
        coalesce(max(delivered.city_count), 0) as city_count,
        median(conformed.value) as median_value,
        min(conformed.value) as minimum_value,
        count(case when conformed.value <> 0 then 1 end) as nonzero_count,
        count(case when conformed.value <> 0 and conformed.value % 10 = 0 then 1 end) as multiple_of_ten_count
    from delivered_series
    cross join years
    left join conformed using (series, scope, year)
    left join delivered using (series, scope, year)
    group by
        delivered_series.series, delivered_series.quantity, delivered_series.scope, delivered_series.provider,
        years.year
),

compared as (
    select
        *,
        lag(city_count) over (partition by series, scope order by year) as previous_city_count,
        lag(median_value) over (partition by series, scope order by year) as previous_median_value
    from counted
),

steps as (
    select
        series,
        scope,
        year,
        log10(value / lag(value) over city_years) as step,
        year - lag(year) over city_years as years_since_last
    from conformed
    where value > 0
    window city_years as (partition by series, scope, city_id order by year)
),

magnitudes as (
    select
        *,
        cast(round(median(step) over series_years) as integer) as power
    from steps
    where years_since_last = 1
    window series_years as (partition by series, scope, year)
),

-- Years delivered in a different unit: nearly all cities change by the same power of ten, and change back a year later.
-- The median city must also change by about this power, so that sixfold growth, as of robots installed in 2010, does
-- not count as a change of unit.
unit_changes as (
    select
        series,
        scope,
        year,
        power,
        count(case when abs(step - power) < log10(2) then 1 end) as city_count,
        lag(power) over (partition by series, scope order by year) as previous_power
    from magnitudes
    group by series, scope, year, power
    having
        count(*) >= 20
        and avg(case when abs(step - power) < log10(2) then 1 else 0 end) >= 0.9
        and abs(median(step) - power) < log10(1.7)
),

national as (
    select
        series,
        scope,
        year,
        sum(value order by city_id) as value
    from conformed
    group by series, scope, year
),

flow_rates as (
    select
        flow.series,
        flow.scope,
        flow.year,
        flow.value / nullif(stock.value, 0) as flow_rate
    from series
    inner join national as flow on series.quantity = flow.series
    inner join national as stock
        on
            series.stock_series = stock.series
            and flow.scope = stock.scope
            and flow.year = stock.year
),

-- City values with the value of the previous delivered year. The shares of cities in the national total, computed
-- below, change slowly unless records were assigned to the wrong city.
city_moves as (
    select
        conformed.*,
        lag(conformed.value) over city_years as previous_value,
        lag(conformed.year) over city_years as previous_year
    from conformed
    inner join series using (quantity)
    where
        cast(series.is_additive as boolean)
        and conformed.value is not null
    window city_years as (partition by conformed.series, conformed.scope, conformed.city_id order by conformed.year)
),

totals as (
    select
        series,
        scope,
        year,
        nullif(sum(value order by city_id), 0) as total,
        nullif(sum(previous_value order by city_id), 0) as previous_total
    from city_moves
    where year = previous_year + 1
    group by series, scope, year
),

share_moves as (
    select
        city_moves.*,
        left(city_moves.city_id, 2) as province_code,
        case when right(city_moves.city_id, 4) = '0100' then city_moves.value end as value_of_capital,
        case when right(city_moves.city_id, 4) = '0100' then city_moves.previous_value end as previous_value_of_capital,
        city_moves.value / totals.total - city_moves.previous_value / totals.previous_total as share_move
    from city_moves
    inner join totals using (series, scope, year)
    where city_moves.year = city_moves.previous_year + 1
),

province_shifts as (
    select
        series,
        scope,
        year,
        sum(value_of_capital) / nullif(sum(value order by city_id), 0)
        - sum(previous_value_of_capital) / nullif(sum(previous_value order by city_id), 0) as shift
    from share_moves
    group by series, scope, year, province_code
    having count(*) > 2
),

capital_shifts as (
    select
        series,
        scope,
        year,
        median(shift) as capital_shift
    from province_shifts
    group by series, scope, year
    having count(shift) >= 10
),

moved_shares as (
    select
        series,
        scope,
        year,
        sum(abs(share_move) order by city_id) / 2 as moved_share,
        arg_max(city_id, share_move, 3) as gaining_cities
    from share_moves
    group by series, scope, year
),

structures as (
    select
        moved_shares.*,
        capital_shifts.capital_shift,
        count(*) over earlier_years as earlier_count,
        coalesce(max(abs(capital_shifts.capital_shift)) over earlier_years, 0) as earlier_capital_shift,
        max(moved_shares.moved_share) over earlier_years as earlier_moved_share
    from moved_shares
    left join capital_shifts using (series, scope, year)
    window earlier_years as (
        partition by moved_shares.series, moved_shares.scope
        order by moved_shares.year
        rows between unbounded preceding and 1 preceding
    )
),

odd_structures as (
    select
        * exclude (gaining_cities),
        case
            when
                earlier_count >= 3
                and (
                    abs(capital_shift) > greatest({{ shift.over }}, {{ shift.times }} * earlier_capital_shift)
                    or moved_share > greatest({{ moved.over }}, {{ moved.times }} * earlier_moved_share)
                )
                then array_to_string(gaining_cities, ' ')
        end as gaining_cities
    from structures
),

declared_years as (
    select distinct
        compared.series,
        compared.scope,
        compared.year
    from compared
    inner join declared_revisions as declared
        on
            declared.provider in (compared.provider, '*')
            and declared.series in (compared.quantity, '*')
            and declared.scope in (compared.scope, '*')
            and compared.year between declared.first_year and declared.last_year
),

final as (
    select
        compared.* exclude (quantity, previous_median_value, nonzero_count, multiple_of_ten_count),  -- noqa: RF02
        common.common_years,
        coalesce(common.common_year_count, 0) as common_year_count,
        common.close_share,
        common.median_ratio,
        compared.city_count / nullif(compared.previous_city_count, 0) as coverage_ratio,
        compared.median_value / nullif(compared.previous_median_value, 0) as median_growth_factor,
        compared.median_value between series.median_min and series.median_max as is_median_in_bounds,
        -- Counts have no declared bounds, but about one in ten should end in zero. The share is computed from at least
        -- 20 counts, because all of a few counts may end in zero by chance.
        case
            when series.median_min is null and compared.nonzero_count >= 20
                then compared.multiple_of_ten_count / compared.nonzero_count
        end as multiple_of_ten_share,
        unit_changes.city_count as unit_city_count,
        power(10, unit_changes.power) as unit_factor,
        lost_provinces.lost_provinces,
        vanished_cities.vanished_cities,
        flow_rates.flow_rate,
        odd_structures.capital_shift,
        odd_structures.earlier_capital_shift,
        odd_structures.moved_share,
        odd_structures.earlier_moved_share,
        odd_structures.gaining_cities,
        declared_years.series is not null as is_declared_revision,
        headline_series.series is not null as is_headline,
        expected_coverage.quantity is not null as is_known_gap,
        expected_coverage.reason as known_gap_reason
    from compared
    inner join series using (quantity)
    left join common using (quantity, scope, first_provider, provider)
    left join headline_series using (series, scope)
    left join flow_rates using (series, scope, year)
    left join unit_changes
        on
            compared.series = unit_changes.series
            and compared.scope = unit_changes.scope
            and compared.year = unit_changes.year
            and unit_changes.power not in (0, -coalesce(unit_changes.previous_power, 0))
    left join lost_provinces using (series, scope, year)
    left join vanished_cities using (series, scope, year)
    left join odd_structures using (series, scope, year)
    left join declared_years using (series, scope, year)
    left join expected_coverage
        on
            compared.quantity = expected_coverage.quantity
            and compared.scope = expected_coverage.scope
            and compared.provider = expected_coverage.provider
            and compared.year between expected_coverage.first_year and expected_coverage.last_year
)

select * from final
