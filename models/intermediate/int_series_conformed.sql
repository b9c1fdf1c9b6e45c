with

sourced as (
    select * from {{ ref('int_series_sourced') }}
),

cities as (
    select * from {{ ref('cities') }}
),

series as (
    select
        series as quantity,
        is_additive,
        stock_series
    from {{ ref('series') }}
),

city_changes as (
    select * from {{ ref('city_changes') }}
),

mergers as (
    select
        to_city_id as city_id,
        from_city_id,
        first_year
    from city_changes
    where kind = 'merger'
),

-- First year in which a split or changed city has its 2020 boundaries. Earlier values on the boundaries of the time are
-- not used, because a city's value cannot be divided among its parts.
unallocated as (
    select
        city_id,
        max(first_year) as first_year
    from {{ ref('int_city_boundary_changes') }}
    where kind in ('split', 'transfer')
    group by city_id
),

years as (
    select distinct year
    from sourced
),

-- Number of former cities that still reported separately in a year and were later merged into a city of 2020.
parts_due as (
    select
        mergers.city_id,
        years.year,
        count(*) as part_count
    from mergers
    inner join years on mergers.first_year > years.year
    group by mergers.city_id, years.year
),

-- Sum of the values reported for former cities, by city of 2020. A register on current boundaries may contain codes of
-- merged cities in any year, although most registers do not.
parts as (
    select
        mergers.city_id,
        sourced.series,
        sourced.scope,
        sourced.year,
        count(*) as part_count,
        case when count(sourced.value) = count(*) then sum(sourced.value order by sourced.city_id) end as value,
        bool_or(sourced.is_corrected) as is_corrected
    from mergers
    inner join sourced
        on
            mergers.from_city_id = sourced.city_id
            and (sourced.boundaries = 'current' or mergers.first_year > sourced.year)
    group by mergers.city_id, sourced.series, sourced.scope, sourced.year
),

on_2020_boundaries as (
    select
        sourced.series,
        sourced.quantity,
        sourced.scope,
        sourced.provider,
        sourced.city_id,
        sourced.year,
        case
            when unallocated.city_id is not null then null
            when coalesce(parts_due.part_count, parts.part_count) is null then sourced.value
            when series.is_additive and parts.part_count = coalesce(parts_due.part_count, parts.part_count)
                then sourced.value + parts.value
        end as value,
        parts.part_count is not null as is_summed,
        sourced.is_corrected or coalesce(parts.is_corrected, false) as is_corrected,
        sourced.is_spliced,
        false as is_assumed_zero
    from sourced
    inner join cities using (city_id)
    inner join series using (quantity)
    left join parts using (city_id, series, scope, year)
    left join unallocated
        on
            sourced.city_id = unallocated.city_id
            and sourced.year < unallocated.first_year
            and sourced.boundaries = 'as_of_year'
    left join parts_due
        on
            sourced.city_id = parts_due.city_id
            and sourced.year = parts_due.year
            and sourced.boundaries = 'as_of_year'
),

-- Years delivered by providers that omit zero counts. In such a year, a city without a record has a count of zero.
delivered_years as (
    select distinct
        series,
        quantity,
        scope,
        provider,
        year,
        is_spliced
    from sourced
    where absent_row = 'zero'
),

stocks as (
    select distinct stock_series as quantity
    from series
),

-- Last count of each city before each delivered year.
counted_before as (
    select
        delivered_years.series,
        delivered_years.scope,
        delivered_years.year,
        counted.city_id,
        arg_max(counted.value, counted.year) as last_value
    from delivered_years
    inner join sourced as counted
        on
            delivered_years.series = counted.series
            and delivered_years.scope = counted.scope
            and delivered_years.year > counted.year
            and counted.value is not null
    group by delivered_years.series, delivered_years.scope, delivered_years.year, counted.city_id
),

-- Rows for cities that a provider omits. The value is zero, or null where zero is implausible: after a large flow, or
-- after a positive stock, because a provider reports a stock that ends as zero first.
absent as (
    select
        delivered_years.series,
        delivered_years.quantity,
        delivered_years.scope,
        delivered_years.provider,
        cities.city_id,
        delivered_years.year,
        case
            when
                counted_before.last_value
                > case when stocks.quantity is null then {{ var('largest_count_before_zero') }} else 0 end
                then null
            when parts.part_count is null then cast(0 as double)
            else parts.value
        end as value,
        parts.part_count is not null as is_summed,
        coalesce(parts.is_corrected, false) as is_corrected,
        delivered_years.is_spliced,
        true as is_assumed_zero
    from delivered_years
    cross join cities
    left join sourced using (series, scope, year, city_id)
    left join stocks on delivered_years.quantity = stocks.quantity
    left join counted_before using (series, scope, year, city_id)
    left join parts using (city_id, series, scope, year)
    where sourced.city_id is null
),

all_values as (
    select * from on_2020_boundaries
    union all
    select * from absent
),

final as (
    select
        * exclude (is_summed, is_corrected, is_assumed_zero),
        case
            when value is not null
                then
                    list_filter(
                        [
                            case when is_summed then 'summed of parts' end,
                            case when is_assumed_zero then 'assumed zero' end,
                            case when is_corrected then 'corrected' end,
                            case when is_spliced then 'spliced' end
                        ],
                        lambda word: word is not null
                    )
        end as basis
    from all_values
)

select * from final
