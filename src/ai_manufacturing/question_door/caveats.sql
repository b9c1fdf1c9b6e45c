-- name: described
with columns as (
    select
        *,
        -- Tables in the paper's layout store numbers as text, so identify these columns by name.
        (data_type = 'DOUBLE' or column_name similar to 'column_\d+|cell|cell_zh')
        and (
            schema_name in ('estimates', 'reports')
            or bool_or(column_name = 'specification_id') over this
        ) as is_figure,
        data_type <> 'VARCHAR'
        and bool_or(column_name in ('series', 'variable', 'measure')) over this
            as is_of_series
    from duckdb_columns()
    where database_name = current_database()
    window this as (partition by schema_name, table_name)
),

phrases as (
    select string_agg(distinct phrase, '; ' order by phrase) as phrases
    from (
        select substitution as phrase from marts.dim_labels
        union all
        select unnest(string_split(substitutions, '; ')) from reports.rpt_coefficients
    ) as every
    where phrase <> ''
),

described as (
    select
        *,
        table_schema as schema_name
    from marts.data_dictionary
)

select
    concat_ws('.', schema_name, table_name, column_name) as "column",
    columns.data_type,
    unit,
    comment,
    label_en,
    label_zh,
    source,
    publisher,
    licence,
    first_year,
    last_year,
    missing_share,
    list_filter([
        if(is_figure, $estimate, null),
        '† ' || coalesce(
            substitution, if(is_figure or is_of_series, 'in some rows: ' || phrases, null)
        ),
        if(is_interpolated, 'interpolated in some years', null),
        'values of ' || restricted_providers || ': not to be passed on'
    ], lambda caveat: caveat is not null) as caveats
from columns
cross join phrases
left join described
    using (schema_name, table_name, column_name)
order by schema_name, table_name, column_index;
