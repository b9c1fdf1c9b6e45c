with

specifications as (
    select * from {{ ref('regression_specifications') }}
    where reading = 'default'
),

coefficients as (
    select
        specification_id,
        min(status) as status
    from {{ ref('rpt_coefficients') }}
    group by specification_id
),

final as (
    select
        current_extract_set() as extract_set,
        specifications.table_id,
        specifications.column_number,
        specifications.specification_id,
        coefficients.status
    from specifications
    inner join coefficients on specifications.specification_id = coefficients.specification_id
)

select * from final
