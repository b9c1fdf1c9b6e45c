-- name: tables
select
    concat(schema_name, '.', table_name) as in_table,
    schema_name,
    table_name,
    comment
from duckdb_tables()
where list_contains($schemas, schema_name) and database_name = current_database()
order by table_name, schema_name;

-- name: panel_columns
select
    column_name as name,
    coalesce(nullif(label_en, description_en), description_en) as description,
    unit as "unitText"
from marts.data_dictionary
where
    concat(table_schema, '.', table_name) = $panel
    and not is_key
    -- Omit empty columns: restricted values are removed from a public release, and some series were not delivered.
    and missing_share < 1
order by column_number;

-- name: columns
select
    concat(c.schema_name, '.', c.table_name) as in_table,
    c.column_name as name,
    c.data_type as type,
    nullif(d.label_en, d.description_en) as title,
    nullif(d.label_zh, d.description_zh) as title_zh,
    coalesce(d.description_en, c.comment) as description,
    d.description_zh,
    d.unit,
    d.source,
    coalesce(d.is_key, false) as is_key,
    d.missing_share
from duckdb_columns() as c
left join marts.data_dictionary as d
    on
        c.schema_name = d.table_schema
        and c.table_name = d.table_name
        and c.column_name = d.column_name
where c.database_name = current_database()
order by c.column_index;
