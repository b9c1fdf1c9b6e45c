with

specifications as (
    select
        *,
        row_number() over () as seed_order
    from {{ ref('regression_specifications') }}
),

coefficients as (
    select
        specification_id,
        min(status) as status
    from {{ ref('rpt_coefficients') }}
    group by specification_id
),

candidates as (
    select
        specifications.table_id,
        specifications.column_number,
        specifications.specification_id,
        coefficients.status,
        row_number() over (
            partition by specifications.table_id, specifications.column_number
            order by coefficients.status = 'not_estimable', specifications.seed_order
        ) as preference
    from specifications
    inner join coefficients on specifications.specification_id = coefficients.specification_id
    where specifications.reading in ('default', 'substitute')
),

final as (
    select
        current_extract_set() as extract_set,
        table_id,
        column_number,
        specification_id,
        status
    from candidates
    where preference = 1
)

select * from final
