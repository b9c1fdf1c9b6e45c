with

readings as (
    select * from {{ ref('claim_designs') }}
    where question <> 'ai'
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
    where term = regressor
),

claims as (
    select
        table_id,
        column_number,
        printed_value
    from {{ ref('rpt_verdicts') }}
    where design_order = 1
),

final as (
    select
        {{ extract_set() }} as extract_set,
        claims.table_id,
        claims.column_number,
        readings.design,
        readings.design_order,
        readings.label_en as reading_en,
        readings.label_zh as reading_zh,
        coefficients.specification_id,
        claims.printed_value,
        coefficients.estimate,
        coefficients.std_error_province as std_error,
        coefficients.conf_low_province as conf_low,
        coefficients.conf_high_province as conf_high,
        case
            when coefficients.conf_low_province * coefficients.conf_high_province > 0 then 'differs'
            when claims.printed_value between coefficients.conf_low_province and coefficients.conf_high_province
                then 'open'
            when coefficients.conf_low_province is not null then 'excludes'
        end as says
    from claims
    inner join coefficients using (table_id, column_number)
    inner join readings using (reading)
)

select * from final
order by table_id, column_number, design_order
