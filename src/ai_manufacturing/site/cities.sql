-- name: standings
select * exclude (extract_set)
from reports.rpt_city_standing
qualify year = max(year) over (partition by variable)
order by variable, city_id;

-- name: rankings
with slices as (
    select
        variable,
        year,
        any_value(city_count) as city_count,
        min(national_rank) filter (is_last_tie) as first_tied_rank,
        any_value(first_year) as first_year,
        any_value(growth_city_count) as growth_city_count
    from reports.rpt_city_standing
    group by variable, year
)

select
    slices.*,
    list(standing.national_rank order by cities.city_id) as ranks,
    list(standing.growth_rank order by cities.city_id) as growth_ranks
from slices
cross join marts.dim_city as cities
left join reports.rpt_city_standing as standing
    on
        slices.variable = standing.variable
        and slices.year = standing.year
        and cities.city_id = standing.city_id
group by all
order by slices.variable, slices.year;

-- name: delivered_rows
with files as (
    select
        file_path,
        delivery_id,
        row_number() over (order by file_path, delivery_id) - 1 as number
    from marts.fct_delivered_values
    group by file_path, delivery_id
),

cells as (
    select
        d.value_city_id as city_id,
        d.series,
        d.year,
        count(*) as row_count,
        sum(d.delivered_value) as value_sum,
        list_slice(list(
            {
                file: f.number,
                sheet: d.sheet_name,
                row_number: d.row_number,
                number: d.delivered_value,
                industry: d.industry_code,
                place: case when d.city_id <> d.value_city_id then d.city_id end
            } order by d.delivered_value desc, f.number asc, d.sheet_name asc, d.row_number asc
        ), 1, $most) as rows
    from marts.fct_delivered_values as d
    inner join shown_series as s on d.series = s.series and d.provider = s.provider
    inner join files as f on d.file_path = f.file_path and d.delivery_id = f.delivery_id
    where
        d.valid_until_delivery is null
        and (
            d.section is null
            or (s.scope, d.section) in (select (scope, section) from seeds.industry_scopes)
        )
    group by all
),

series as (
    select
        city_id,
        series,
        to_json(map_from_entries(list((year, json_object(
            'rows', list_transform(rows, lambda r: json_array(
                r.file, r.sheet, r.row_number, r.number, r.industry, r.place
            )),
            'more', case when row_count > $most then json_array(
                row_count - $most,
                round(value_sum - list_sum(list_transform(rows, lambda r: r.number)), 6)
            ) end
        )) order by year))) as years
    from cells
    group by all
)

select
    city_id,
    to_json(map_from_entries(list((series, years) order by series))) as cells
from series
group by all;

-- name: gaps
with city_years as (
    select
        v.city_id,
        v.year,
        v.value,
        s.series,
        s.provider
    from marts.fct_city_year_values as v
    inner join shown_series as s on v.variable = s.series and s.is_delivered
),

corrected as (
    select
        city_id,
        year,
        series,
        provider,
        min(correction_id) as correction_id,
        arg_min(reason, correction_id) as reason,
        arg_min(reason_zh, correction_id) as reason_zh
    from marts.fct_corrections
    where value is null
    group by all
),

sources as (
    select distinct
        provider,
        source_name,
        series
    from marts.fct_delivered_values
),

set_aside as (
    select
        c.city_id,
        r.year,
        s.series,
        s.provider,
        min(r.set_aside_reason) as reason,
        arg_min(r.file_path, r.set_aside_reason) as file_path,
        arg_min(r.row_number, r.set_aside_reason) as row_number
    from marts.fct_rows_set_aside as r
    inner join sources as s on r.provider = s.provider and r.source_name = s.source_name
    inner join marts.dim_city as c
        on r.city_code = c.city_id or r.city_name in (c.name_zh, c.short_name_zh)
    where
        r.set_aside_reason
        not in ('out of period', 'superseded', 'withdrawn', 'duplicate row')
    group by all
),

delivered_years as (
    select distinct
        series,
        year
    from city_years
    where value is not null
)

select
    g.city_id,
    g.year,
    g.series,
    g.provider,
    c.correction_id,
    c.reason as correction_reason,
    c.reason_zh as correction_reason_zh,
    a.reason as set_aside_reason,
    a.file_path as set_aside_file,
    a.row_number as set_aside_row,
    y.year is not null as has_year
from city_years as g
left join corrected as c
    on
        g.city_id = c.city_id and g.year = c.year
        and g.series = c.series and g.provider = c.provider
left join set_aside as a
    on
        g.city_id = a.city_id and g.year = a.year
        and g.series = a.series and g.provider = a.provider
left join delivered_years as y on g.series = y.series and g.year = y.year
where g.value is null
order by g.city_id, g.series, g.year;

-- name: corrections
select
    city_id,
    correction_id,
    series,
    year,
    delivered_value,
    value,
    reason,
    reason_zh,
    delivered_city_id
from marts.fct_corrections
where
    (series, provider, scope)
    in (
        select (series, provider, scope) from shown_series
        where has_values
    )
order by city_id, series, year, correction_id;

-- name: doubtful_values
select
    city_id,
    series,
    year,
    value,
    expected_value,
    cause,
    cause_detail
from marts.fct_doubtful_values
where
    cause not in ('confirmed', 'level break')
    and (
        series, scope) in (
        select (series, scope) from shown_series
        where has_values
    )
order by city_id, series, year;

-- name: drawn
pivot (
    select
        city_id,
        year,
        variable,
        value
    from marts.fct_city_year_values
    where
        variable in (
            select series from shown_series
            where has_values
        )
    union all
    select
        city_id,
        year,
        variable,
        case when not is_last_tie then national_rank end
    from reports.rpt_city_standing
    where variable not in (
        select series from shown_series
        where has_values
    )
)
on variable
using max(value)
group by city_id, year
order by all;

-- name: files
select distinct
    file_path,
    delivery_id
from marts.fct_delivered_values
order by all;

-- name: shown_series
create or replace temp table shown_series as
select
    *,
    is_delivered and series in (select variable from marts.fct_city_year_values) as has_values
from marts.dim_series
where
    series = quantity
    and (series, scope) in (select (series, scope) from marts.dim_variable);
