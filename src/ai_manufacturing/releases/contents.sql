-- name: comments
select
    schema_name,
    table_name,
    null,
    comment
from duckdb_tables()
where database_name = 'built'
union all
select
    schema_name,
    view_name,
    null,
    comment
from duckdb_views()
where database_name = 'built'
union all
select
    schema_name,
    table_name,
    column_name,
    comment
from duckdb_columns()
where database_name = 'built' and (
    schema_name, table_name, column_name) in (
    select (schema_name, table_name, column_name) from duckdb_columns()
    where database_name = 'new'
);
