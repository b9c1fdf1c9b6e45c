with

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

panel_outcomes as (
    select * from {{ ref('dim_variable') }}
),

-- Labels of the counts that event studies use as outcomes. A count has the same name, and so the same label, as the
-- measure that is derived from it.
count_outcomes as (
    select
        name as outcome,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'measure'
),

errors as (
    select
        name,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'error'
),

-- Kinds of the two standard errors of each specification: its own, and the one by province. Two-step GMM applies
-- Windmeijer's correction to its errors by city, but not to those by province.
errors_made as (
    select
        specification_id,
        case
            when estimator = 'dynamic_panel' and contains(coalesce(options, ''), 'steps=1') then 'sandwich_city'
            when estimator = 'dynamic_panel' then 'windmeijer_city'
            when covariance in ('city', 'province') then 'crv1_' || covariance
            else covariance
        end as own_error,
        case
            when estimator = 'dynamic_panel' then 'sandwich_province'
            else 'crv3_province'
        end as error_by_province
    from specifications
),

regressors as (
    select
        name as term,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'term'
),

-- Status of each regression, from the status of its terms. A regression is mechanical if the outcome is used to compute
-- one of its regressors. It is not estimable only if no term is estimable.
estimated as (
    select
        specification_id,
        arg_min(status, list_position(['mechanical', 'estimated', 'not_estimable'], status)) as status,
        arg_min(reason, term_order) as reason,
        arg_min(reason_zh, term_order) as reason_zh,
        min(sample_first_year) as sample_first_year,
        max(sample_last_year) as sample_last_year
    from {{ ref('rpt_coefficients') }}
    group by specification_id
),

final as (
    select
        {{ extract_set() }} as extract_set,
        specifications.* exclude (is_headline, substitutions),  -- noqa: RF02
        (specifications.first_year, specifications.last_year)
        <> (specifications.asked_first_year, specifications.asked_last_year) as is_partial,
        coalesce(count_outcomes.label_en, panel_outcomes.label_en) as outcome_label_en,
        coalesce(count_outcomes.label_zh, panel_outcomes.label_zh) as outcome_label_zh,
        regressors.label_en as regressor_label_en,
        regressors.label_zh as regressor_label_zh,
        own.label_en as error_en,
        own.label_zh as error_zh,
        by_province.label_en as error_province_en,
        by_province.label_zh as error_province_zh,
        estimated.* exclude (specification_id)
    from specifications
    inner join estimated using (specification_id)
    inner join errors_made using (specification_id)
    left join errors as own on errors_made.own_error = own.name
    left join errors as by_province on errors_made.error_by_province = by_province.name
    left join panel_outcomes on specifications.outcome = panel_outcomes.variable
    left join count_outcomes using (outcome)
    left join regressors on specifications.regressor = regressors.term
)

select * from final
