with

specifications as (
    select * from {{ ref('rpt_specifications') }}
    where reading = 'default'
),

final as (
    select
        extract_set,
        table_id,
        column_number,
        specification_id,
        status
    from specifications
)

select * from final
