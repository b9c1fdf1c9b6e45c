with

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
    where table_id in ('table_1', 'table_2', 'table_3')
),

coefficients as (
    select coefficients.*
    from {{ ref('rpt_coefficients') }} as coefficients
    inner join columns_shown on coefficients.specification_id = columns_shown.specification_id
    where coefficients.term = coefficients.regressor
),

labels as (
    select * from {{ ref('term_labels') }}
),

final as (
    select
        coefficients.extract_set,
        coefficients.regressor,
        labels.label_en,
        labels.label_zh,
        {%- for name, table_id, outcome in [
            ('gdp', 'table_1', 'ln_gdp'),
            ('secondary_value_added', 'table_2', 'ln_secondary_value_added'),
            ('secondary_employment', 'table_3', 'ln_secondary_employment'),
            ('manufacturing_employment', 'table_3', 'ln_manufacturing_employment')
        ] %}
        max(case when coefficients.outcome = '{{ outcome }}' then coefficients.estimate end) as {{ name }}_estimate,
        max(case when coefficients.outcome = '{{ outcome }}' then coefficients.std_error end) as {{ name }}_std_error,
        max(case when coefficients.outcome = '{{ outcome }}' then coefficients.reason end) as {{ name }}_reason,
        {%- endfor %}
        max(case when coefficients.outcome = 'ln_secondary_value_added' then coefficients.estimate end)
        - max(case when coefficients.outcome = 'ln_gdp' then coefficients.estimate end)
            as secondary_share_estimate,
        max(case when coefficients.outcome = 'ln_secondary_value_added' then coefficients.estimate end)
        - max(case when coefficients.outcome = 'ln_secondary_employment' then coefficients.estimate end)
            as secondary_productivity_estimate
    from coefficients
    inner join labels on coefficients.regressor = labels.term
    group by coefficients.extract_set, coefficients.regressor, labels.label_en, labels.label_zh
)

select * from final
