-- Return released columns that the data dictionary lacks, and documented columns that do not exist. render() removes
-- the row limit that dbt's --empty flag adds to ref(), because the dictionary is complete even without data.
-- depends_on: {{ ref('fct_register_rows_set_aside') }}, which the dictionary does not read
with

released as (
    select
        schema_name as table_schema,
        table_name,
        column_name
    from duckdb_columns()
    where
        replace(schema_name, 'dev_', '') in ('marts', 'gates', 'estimates', 'reports')
        and database_name = current_database()
),

dictionary as (
    select
        table_schema,
        table_name,
        column_name
    from {{ ref('data_dictionary').render() }}
)

select
    coalesce(released.table_schema, dictionary.table_schema) as table_schema,
    coalesce(released.table_name, dictionary.table_name) as table_name,
    coalesce(released.column_name, dictionary.column_name) as column_name
from released
full join dictionary
    on
        released.table_schema = dictionary.table_schema
        and released.table_name = dictionary.table_name
        and released.column_name = dictionary.column_name
where
    released.column_name is null
    or dictionary.column_name is null
