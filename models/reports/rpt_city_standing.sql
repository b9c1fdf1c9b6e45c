-- Make this report wait for the gate, so that data rejected by the gate are not ranked.
-- depends_on: {{ ref('gate_results') }}
with

city_year_values as (
    select
        city_id,
        year,
        variable,
        value
    from {{ ref('fct_city_year_values') }}
    where value is not null
),

sizes as (
    select
        groupings.grouping,
        city_year_values.city_id,
        city_year_values.year,
        city_year_values.value > median(city_year_values.value) over (
            partition by groupings.grouping, city_year_values.year
        ) as is_above
    from city_year_values
    inner join {{ ref('city_groupings') }} as groupings
        on city_year_values.variable = groupings.series
    where
        groupings.is_stratum
        and groupings.split = 'median'
),

city_groups as (
    select
        grouping,
        city_id,
        group_name
    from {{ ref('dim_city_groups') }}
    where is_stratum
),

-- Group of each city in each grouping. A city without a value in the grouping's year is classified by its first year
-- with a value. Cities without any value form a group of peers.
all_groups as (
    select * from city_groups
    union all by name
    select
        sizes.grouping,
        sizes.city_id,
        case when arg_min(sizes.is_above, sizes.year) then 'above' else 'below' end as group_name
    from sizes
    anti join city_groups using (grouping, city_id)
    group by all
),

peer_groups as (
    select
        city_id,
        string_agg(grouping || '=' || group_name, ', ' order by grouping desc) as peer_group
    from all_groups
    group by city_id
),

numbered as (
    select
        *,
        dense_rank() over (partition by variable, year order by value) as numbers_up_to_it
    from city_year_values
),

-- Largest count that a rank would disclose, by variable and year. If nearly every whole number up to a count occurs,
-- the rank reveals the count (docs/decisions/disclosure.md).
disclosed_by_rank as (
    select
        variable,
        year,
        max(value) as largest_value
    from numbered
    where numbers_up_to_it >= {{ var('disclosed_by_rank') }} * value
    group by variable, year
),

numbers as (
    select
        ranked_variables.variable,
        counted.city_id,
        counted.year,
        counted.value as counted,
        counted.value / coalesce(out_of.value, 1) as value,
        out_of.value is not null as is_share,
        coalesce(counted.value <= disclosed_by_rank.largest_value, false) as is_disclosed,
        min(counted.year) over (partition by ranked_variables.variable) as first_year
    from {{ ref('ranked_variables') }} as ranked_variables
    inner join city_year_values as counted
        on split_part(ranked_variables.series, ' ', 1) = counted.variable
    left join disclosed_by_rank
        on
            counted.variable = disclosed_by_rank.variable
            and counted.year = disclosed_by_rank.year
    left join city_year_values as out_of
        on
            split_part(ranked_variables.series, ' ', 2) = out_of.variable
            and counted.city_id = out_of.city_id
            and counted.year = out_of.year
    where
        ranked_variables.series not like '% %'
        or out_of.value >= {{ var('fewest_of_a_share') }}
),

-- Values to rank. Counts that a rank would disclose share the last rank, and shares of such counts are not ranked.
compared as (
    select
        numbers.*,
        peer_groups.peer_group,
        case when not numbers.is_disclosed then numbers.value end as size,
        case
            when not numbers.is_disclosed and numbers.year > numbers.first_year
                then numbers.value / firsts.value
        end as growth
    from numbers
    inner join peer_groups using (city_id)
    left join numbers as firsts
        on
            numbers.variable = firsts.variable
            and numbers.city_id = firsts.city_id
            and numbers.first_year = firsts.year
            and firsts.counted >= {{ var('fewest_that_grow') }}
    where not (numbers.is_share and numbers.is_disclosed)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        variable,
        city_id,
        year,
        rank() over (all_cities order by size desc nulls last) as national_rank,
        count(*) over all_cities as city_count,
        is_disclosed as is_last_tie,
        cast(
            case when not is_disclosed then floor(10.0 * (national_rank - 1) / city_count) + 1 end as integer
        ) as decile,
        peer_group,
        rank() over (peers order by size desc nulls last) as peer_rank,
        count(*) over peers as peer_count,
        first_year,
        case
            when growth is not null then rank() over (all_cities order by growth desc nulls last)
        end as growth_rank,
        count(growth) over all_cities as growth_city_count,
        case
            when growth is not null then rank() over (peers order by growth desc nulls last)
        end as peer_growth_rank,
        count(growth) over peers as peer_growth_count,
        cast(
            case when is_share then {{ var('fewest_of_a_share') }} end as integer
        ) as fewest_of_a_share
    from compared
    window
        all_cities as (partition by variable, year),
        peers as (partition by variable, year, peer_group)
)

select * from final
