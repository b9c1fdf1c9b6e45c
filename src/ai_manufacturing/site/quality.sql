-- name: sources
select
    provider,
    source_name,
    provenance_class,
    publisher,
    republished_by,
    licence,
    interpolated_series,
    citation_en,
    citation_zh,
    source_link as link,
    cast(looked_up_on as varchar) as looked_up_on,
    count(*) as file_count,
    string_agg(distinct outcome, ', ' order by outcome) as outcomes
from marts.fct_deliveries
where provider is not null
group by all
order by all;

-- name: accounting
select
    provider,
    source_name,
    entity,
    disposition,
    count(file_path) as file_count,
    cast(sum(row_count) as bigint) as row_count
from marts.fct_row_accounting
group by all
order by all;

-- name: set_aside
select
    provider,
    source_name,
    set_aside_reason,
    count(*) as row_count,
    min(year) as first_year,
    max(year) as last_year
from marts.fct_rows_set_aside
group by all
union all
select
    provider,
    source_name,
    disposition,
    cast(sum(row_count) as bigint),
    null,
    null
from marts.fct_row_accounting
where
    entity in ('firm_register', 'patent_register')
    and disposition not in ('used', 'in no series', 'out of period')
group by all
order by row_count desc, provider asc, source_name asc, set_aside_reason asc;

-- name: rows_set_aside
select
    file_path,
    row_number,
    city_name,
    year,
    set_aside_reason
from marts.fct_rows_set_aside
where set_aside_reason <> 'superseded'
order by file_path, row_number
limit $listed;

-- name: corrections
select
    c.correction_id,
    c.series,
    c.year,
    count(*) as city_count,
    any_value(d.name_en) as name_en,
    any_value(d.name_zh) as name_zh,
    any_value(r.name_en) as row_name_en,
    any_value(r.name_zh) as row_name_zh,
    any_value(c.delivered_value) as delivered_value,
    any_value(c.value) as value,
    any_value(c.action) as action,
    any_value(c.reason) as reason,
    any_value(c.reason_zh) as reason_zh
from marts.fct_corrections as c
left join marts.dim_city as d on c.city_id = d.city_id
left join marts.dim_city as r
    on
        c.delivered_city_id = r.city_id
        and c.city_id <> r.city_id
group by c.correction_id, c.series, c.year
order by c.correction_id, c.series, c.year;

-- name: coverage
with panel_series as (
    select
        column_name as series,
        column_index as series_order
    from duckdb_columns()
    where
        schema_name = 'marts'
        and table_name = 'fct_city_year_panel'
        and column_name in (select series from marts.dim_series)
),

filled as (
    select distinct
        series,
        city_id,
        year
    from release.series_values
    where (series, scope) in (select (series, scope) from marts.dim_variable)
)

select
    c.city_id,
    c.name_en,
    c.name_zh,
    c.province_name_en,
    c.province_name_zh,
    p.year,
    s.series,
    f.series is not null as is_filled
from marts.fct_city_year_panel as p
inner join marts.dim_city as c on p.city_id = c.city_id
cross join panel_series as s
left join filled as f on s.series = f.series and p.city_id = f.city_id and p.year = f.year
order by c.city_id, p.year, s.series_order;
