with

final as (
    select
        extract_set,
        table_id,
        column_number,
        specification_id,
        status,
        is_partial
    from {{ ref('rpt_specifications') }}
    where reading = 'default'
)

select * from final
