with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
    where
        valid_until_delivery is null
        and copy_of_delivery is null
        and source_name is not null
),

-- Number of records per file and kind of outcome. A new reason for setting a record aside counts as a fault until
-- reasons.csv declares a kind for it.
accounting as (
    select
        accounted.delivery_number,
        {%- for kind in ['used', 'prose', 'no_city', 'duplicate'] %}
        sum(case when reasons.kind = '{{ kind }}' then accounted.row_count else 0 end) as {{ kind }}_count,
        {%- endfor %}
        sum(case when reasons.kind is null then accounted.row_count else 0 end) as fault_count
    from {{ ref('fct_row_accounting') }} as accounted
    left join {{ ref('reasons') }} as reasons on accounted.disposition = reasons.reason
    group by accounted.delivery_number
),

conformed as (
    select
        origin.delivery_number,
        provider,
        source_name,
        city_id,
        year,
        set_aside_reason
    from {{ ref('int_records_conformed') }}
),

current_records as (
    select
        conformed.*,
        reasons.kind
    from conformed
    left join {{ ref('reasons') }} as reasons on conformed.set_aside_reason = reasons.reason
    where reasons.kind is distinct from 'superseded'
),

file_years as (
    select
        delivery_number,
        year,
        year between {{ period('first_year') }} and {{ period('last_year') }} as is_of_period,
        count(*) as record_count,
        sum(case when kind = 'no_city' then 1 else 0 end) as no_city_count,
        sum(case when kind = 'out_of_period' then 1 else 0 end) as out_of_period_count
    from current_records
    where year between {{ var('plausible_years')[0] }} and {{ var('plausible_years')[1] }}
    group by delivery_number, year
),

-- Year with the largest share of records without a city, per file. The share is computed by year, because one lost year
-- hardly changes the share in a whole file. Years outside the study period are ignored, because their records are not
-- used.
worst_years as (
    select
        delivery_number,
        sum(no_city_count) as no_city_count,
        max(no_city_count / record_count) as no_city_share,
        arg_max(year, row(no_city_count / record_count, -year)) filter (where no_city_count > 0) as year
    from file_years
    where is_of_period
    group by delivery_number
),

-- Distance between the consecutive years of a file. A year outside the period that is far from all other years is
-- probably a typing error, such as 2008 in a file for 2018.
year_gaps as (
    select
        *,
        year - lag(year) over (partition by delivery_number order by year) as gap,
        min(case when is_of_period then year end) over (partition by delivery_number) as first_year,
        max(case when is_of_period then year end) over (partition by delivery_number) as last_year
    from file_years
),

year_distances as (
    select
        delivery_number,
        out_of_period_count,
        coalesce(
            max(case when year > first_year and year <= last_year then gap end) over (partition by delivery_number), 1
        ) as usual_gap,
        case
            when year < first_year
                then max(case when year <= first_year then gap end) over (
                    partition by delivery_number
                    order by year rows between 1 following and unbounded following
                )
            when year > last_year
                then max(case when year > last_year then gap end) over (
                    partition by delivery_number
                    order by year rows between unbounded preceding and current row
                )
        end as largest_gap
    from year_gaps
),

slipped_years as (
    select
        delivery_number,
        sum(out_of_period_count) as slipped_count
    from year_distances
    where largest_gap > usual_gap
    group by delivery_number
),

city_years as (
    select
        provider,
        source_name,
        year,
        city_id,
        max(delivery_number) as delivery_number
    from current_records
    where city_id is not null
    group by provider, source_name, year, city_id
),

latest_deliveries as (
    select
        provider,
        source_name,
        year,
        max(delivery_number) as delivery_number
    from city_years
    group by provider, source_name, year
),

-- City-years replaced by a later delivery. A later delivery replaces a whole year and drops the cities that it omits,
-- so an outdated or incomplete file would remove cities.
replaced_city_years as (
    select distinct
        provider,
        source_name,
        year,
        city_id
    from conformed
    where
        set_aside_reason = 'superseded'
        and city_id is not null
        and year between {{ period('first_year') }} and {{ period('last_year') }}
),

replaced_years as (
    select
        latest.delivery_number,
        replaced.year,
        1 - count(kept.city_id) / count(*) as dropped_city_share
    from replaced_city_years as replaced
    inner join latest_deliveries as latest using (provider, source_name, year)
    left join city_years as kept using (provider, source_name, year, city_id)
    group by latest.delivery_number, replaced.year
),

dropped_cities as (
    select
        delivery_number,
        max(dropped_city_share) as dropped_city_share,
        arg_max(year, row(dropped_city_share, -year)) filter (where dropped_city_share > 0) as year
    from replaced_years
    group by delivery_number
),

-- A register locates its records by code, by name, or by both, as declared under [registers.place]. Without a
-- declaration, the register uses a code.
{%- set by_code, by_name = ["''"], ["''"] %}
{%- for provider in var('register_providers')['firm_register'] %}
{%- set place = register_declaration(provider, 'firm_register').place %}
{%- if not place or 'code' in place or 'credit_code' in place %}{% do by_code.append(literal(provider)) %}{% endif %}
{%- if 'name' in place %}{% do by_name.append(literal(provider)) %}{% endif %}
{%- endfor %}
placement as (
    select
        provider,
        source_name,
        case
            when provider in ({{ by_code | join(', ') }})
                then cast(sum(known_by_code_count) as double) / nullif(sum(row_count), 0)
        end as placed_by_code_share,
        case
            when provider in ({{ by_name | join(', ') }})
                then cast(sum(known_by_name_count) as double) / nullif(sum(row_count), 0)
        end as placed_by_name_share
    from {{ ref('fct_register_placement') }}
    where entity = 'firm_register'
    group by provider, source_name
),

-- Change in a city's number of firms from the previous year or, in the first year, to the next year.
city_growth as (
    select
        city_id,
        year,
        coalesce(
            case when lag(year) over city_order = year - 1 then value - lag(value) over city_order end,
            case when lead(year) over city_order = year + 1 then lead(value) over city_order - value end
        ) as growth
    from {{ ref('int_series_corrected') }}
    where
        series = 'firm_count'
        and scope = 'all_industries'
        and value is not null
    window city_order as (partition by provider, city_id order by year)
),

stock_growth as (
    select
        cities.province_id,
        city_growth.year,
        sum(city_growth.growth) as growth
    from city_growth
    inner join {{ ref('cities') }} as cities using (city_id)
    group by cities.province_id, city_growth.year
),

-- Number of new firms by file, province and year, and over all files of the same register, for comparison with the
-- growth in the number of firms. A province with a small share of a file was not part of that delivery.
register_entries as (
    select
        files.delivery_number,
        cities.province_id,
        cells.start_year as year,
        sum(cells.row_count) as file_entry_count,
        sum(sum(cells.row_count)) over (partition by files.delivery_number) as file_count,
        sum(sum(cells.row_count)) over (partition by files.provider, cities.province_id, cells.start_year)
            as entry_count
    from {{ ref('int_register_cells') }} as cells
    inner join {{ ref('raw_register_files') }} as files using (store_key)
    inner join {{ ref('cities') }} as cities using (city_id)
    where
        cells.entity = 'firm_register'
        and cells.set_aside_reason is null
    group by files.delivery_number, files.provider, cities.province_id, cells.start_year
),

entries_against_growth as (
    select
        entries.delivery_number,
        min(entries.entry_count / stock_growth.growth) as entries_to_stock_growth
    from register_entries as entries
    inner join stock_growth
        on
            entries.province_id = stock_growth.province_id
            and entries.year = stock_growth.year
            and stock_growth.growth > 0
    where entries.file_entry_count >= 0.01 * entries.file_count
    group by entries.delivery_number
),

final as (
    select
        deliveries.provider,
        deliveries.source_name,
        deliveries.delivery_number,
        deliveries.file_path,
        cast(coalesce(worst_years.year, dropped_cities.year) as varchar) as year_of_lost_cities,
        deliveries.hint,
        deliveries.record_count,
        cast(sum(coalesce(accounting.used_count, 0)) over source_files as bigint) as source_used_count,
        cast(coalesce(accounting.fault_count, 0) as bigint) as faulty_count,
        -- Most counts are sums of records, so a lost record lowers a count without leaving a visible gap. Such records
        -- are therefore counted here.
        case
            when list_contains({{ var('counted_entities') }}, deliveries.entity)
                then cast(
                    coalesce(accounting.fault_count, 0)
                    + coalesce(worst_years.no_city_count, 0)
                    + coalesce(slipped_years.slipped_count, 0) as bigint
                )
            -- A register without dissolved firms is incomplete in any case, so lost records are not counted for this
            -- register. The share of records with a city is checked instead.
            when
                deliveries.entity = 'firm_register'
                and deliveries.provider in (
                    select f.provider
                    from {{ ref('raw_register_files') }} as f
                    where f.lacks_exit
                )
                then cast(0 as bigint)
            -- A few of a register's millions of records are always faulty, so the share of faulty records is checked
            -- instead.
            when deliveries.entity in ('firm_register', 'patent_register')
                then cast(coalesce(accounting.no_city_count, 0) as bigint)
        end as lost_count_records,
        coalesce(accounting.fault_count, 0) / nullif(deliveries.record_count, 0) as faulty_share,
        sum(coalesce(accounting.fault_count, 0)) over source_files
        / nullif(sum(deliveries.record_count) over source_files, 0) as source_faulty_share,
        coalesce(accounting.prose_count, 0) / nullif(deliveries.record_count, 0) as prose_share,
        coalesce(
            worst_years.no_city_share, accounting.no_city_count / nullif(deliveries.record_count, 0), 0
        ) as unknown_city_share,
        dropped_cities.dropped_city_share,
        coalesce(accounting.duplicate_count, 0) / nullif(deliveries.record_count, 0) as duplicate_share,
        placement.placed_by_code_share,
        placement.placed_by_name_share,
        entries_against_growth.entries_to_stock_growth
    from deliveries
    left join accounting using (delivery_number)
    left join worst_years using (delivery_number)
    left join slipped_years using (delivery_number)
    left join dropped_cities using (delivery_number)
    left join entries_against_growth using (delivery_number)
    left join placement using (provider, source_name)
    window source_files as (partition by deliveries.provider, deliveries.source_name)
)

select * from final
