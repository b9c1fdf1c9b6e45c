-- name: lost_records
-- Records that do not reach the panel, of the sources that fail the gate. Records with rare reasons come first.
with aside as (
    select
        provider,
        source_name,
        file_path,
        sheet_name,
        row_number,
        column_name,
        value,
        reason
    from raw.rejected_rows
    where
        delivery_number in (
            select delivery_number from raw.deliveries
            where valid_until_delivery is null
        )
    union all
    select
        provider,
        source_name,
        file_path,
        null,
        row_number,
        null,
        coalesce(city_name, city_code),
        set_aside_reason
    from marts.fct_rows_set_aside
    where set_aside_reason not in ('superseded', 'withdrawn')
),

-- A register can lose millions of records, so only the first record is listed for each source and reason.
of_registers as (
    select
        provider,
        source_name,
        set_aside_reason as reason,
        count(*) as record_count,
        min({ file_path: file_path, row_number: row_number, value: id }) as record
    from marts.fct_register_rows_set_aside
    where list_contains($sources, provider || '.' || source_name)
    group by provider, source_name, set_aside_reason
),

records as (
    select
        file_path,
        sheet_name,
        row_number,
        column_name,
        value,
        reason,
        count(*) over (partition by provider, source_name, reason) as record_count
    from aside
    where list_contains($sources, provider || '.' || source_name)
    union all
    select
        record.file_path,
        null,
        record.row_number,
        null,
        record.value,
        reason,
        record_count
    from of_registers
)

select
    file_path,
    sheet_name,
    row_number,
    column_name,
    value,
    reason
from records
order by record_count, file_path, sheet_name, row_number, column_name
limit $listed;

-- name: unread_files
-- Files that match no declared source, with the hint of landing.
select
    file_path,
    rtrim(concat_ws(': ', file_path, nullif(hint, '')), '.')
from raw.deliveries
where source_name is null
order by file_path;
