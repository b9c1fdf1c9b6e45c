-- name: refused
with

release as (
    select * from duckdb_tables()
    where database_name = $database and (schema_name, table_name) = ('release', 'manifest')
),

refused as (
    select
        'a view' as what,
        schema_name,
        view_name as name
    from duckdb_views()
    where database_name = $database and not internal and exists (from release)
    union all
    select
        'a macro',
        schema_name,
        function_name
    from duckdb_functions()
    where database_name = $database and not internal
    union all
    select
        'a computed column or a default',
        schema_name,
        table_name || '.' || column_name
    from duckdb_columns()
    where database_name = $database and column_default is not null
    union all
    select
        'a table of more than ' || $largest || ' cells',
        schema_name,
        table_name
    from duckdb_tables()
    where
        database_name = $database
        and not $is_trusted
        and estimated_size * column_count > $largest
)

select * from refused
order by all limit 1;
