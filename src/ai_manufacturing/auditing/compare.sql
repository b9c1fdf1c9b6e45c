-- name: columns
select
    schema_name || '.' || table_name,
    column_name,
    data_type
from duckdb_columns()
where database_name = $database and list_contains($schemas, schema_name)
order by schema_name, table_name, column_index;

-- name: keys
select
    table_schema || '.' || table_name,
    list(column_name order by column_number)
from old.marts.data_dictionary
where is_key
group by all;
