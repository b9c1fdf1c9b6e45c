-- name: listed
select
    withheld.*,
    withheld.column_name is not null and columns.column_name is null as is_left_out
from release.withheld as withheld
left join duckdb_columns() as columns
    on
        columns.database_name = current_database()
        and withheld.table_name = concat(columns.schema_name, '.', columns.table_name)
        and withheld.column_name = columns.column_name
order by withheld.table_name, withheld.column_name nulls first;
