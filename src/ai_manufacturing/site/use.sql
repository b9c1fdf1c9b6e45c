-- name: tables
select
    d.*,
    concat(d.table_schema, '.', d.table_name) as in_table
from marts.data_dictionary as d
inner join duckdb_tables() as t
    on d.table_schema = t.schema_name and d.table_name = t.table_name
where t.database_name = current_database()
order by d.table_name <> 'fct_city_year_panel', in_table, d.column_number;

-- name: kinds
select
    change_kind,
    count(*) as change_count,
    count(distinct city_id) as city_count
from release.changes
group by all
order by all;

-- name: estimates
select *
from release.changes
where change_kind like 'estimate%'
order by
    list_position(
        ['estimate_lost', 'estimate_changed', 'estimate_gained'], change_kind
    ),
    moved_std_errors desc nulls first,
    specification_id asc,
    term asc
limit $listed;

-- name: cells
select
    column_name,
    count(*) as cell_count,
    count(distinct city_id) as city_count,
    min(year) as first_year,
    max(year) as last_year
from release.changes
where change_kind = 'cell_changed'
group by all
order by all;
