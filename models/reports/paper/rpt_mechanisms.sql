with

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
    where table_id = 'mechanisms'
),

coefficients as (
    select coefficients.*
    from {{ ref('rpt_coefficients') }} as coefficients
    inner join columns_shown using (specification_id)
    where coefficients.term = coefficients.regressor
),

labels as (
    select
        name as term,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'term'
),

final as (
    select
        {{ extract_set() }} as extract_set,
        coefficients.regressor,
        labels.label_en,
        labels.label_zh
        {%- for name, outcome in [
            ('gdp', 'ln_gdp'),
            ('secondary_value_added', 'ln_secondary_value_added'),
            ('secondary_employment', 'ln_secondary_employment'),
            ('manufacturing_employment', 'ln_manufacturing_employment'),
            ('secondary_share', 'ln_secondary_share_of_gdp'),
            ('secondary_productivity', 'ln_secondary_productivity')
        ] -%}
        {%- for column in ['estimate', 'std_error', 'reason', 'reason_zh'] -%}
        ,
        max(case when coefficients.outcome = '{{ outcome }}' then coefficients.{{ column }} end)
            as {{ name }}_{{ column }}
        {%- endfor -%}
        {%- endfor %},
        -- All outcomes are estimated on one sample (option `shared`), so their numbers of observations are equal.
        max(coefficients.observation_count) as observation_count,
        max(coefficients.city_count) as city_count
    from coefficients
    inner join labels on coefficients.regressor = labels.term
    group by coefficients.regressor, labels.label_en, labels.label_zh
)

select * from final
