with

final as (
    select
        extract_set,
        table_id,
        column_number,
        specification_id,
        status,
        (first_year, last_year) <> (asked_first_year, asked_last_year) as is_partial
    from {{ ref('rpt_specifications') }}
    where reading = 'default'
)

select * from final
