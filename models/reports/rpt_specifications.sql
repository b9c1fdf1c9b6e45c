with

specifications as (
    select
        *,
        row_number() over () as seed_order
    from {{ ref('regression_specifications') }}
),

outcomes as (
    select
        variable as outcome,
        label_en,
        label_zh
    from {{ ref('panel_variables') }}
    union all
    select
        term as outcome,
        label_en,
        label_zh
    from {{ ref('term_labels') }}
),

regressors as (
    select * from {{ ref('term_labels') }}
),

outcome_of_status as (
    select
        specification_id,
        extract_set,
        min(status) as status,
        min(reason) as reason
    from {{ ref('rpt_coefficients') }}
    group by specification_id, extract_set
),

final as (
    select
        outcome_of_status.extract_set,
        specifications.specification_id,
        specifications.seed_order as specification_order,
        specifications.table_id,
        specifications.column_number,
        specifications.reading,
        specifications.estimator,
        specifications.outcome,
        outcomes.label_en as outcome_label_en,
        outcomes.label_zh as outcome_label_zh,
        specifications.regressor,
        regressors.label_en as regressor_label_en,
        regressors.label_zh as regressor_label_zh,
        specifications.transform,
        specifications.weighting,
        specifications.scope,
        specifications.controls,
        specifications.subsample,
        specifications.grouping,
        specifications.first_year,
        specifications.last_year,
        specifications.fixed_effects,
        specifications.covariance,
        specifications.options,
        specifications.description,
        outcome_of_status.status,
        outcome_of_status.reason
    from specifications
    inner join outcome_of_status on specifications.specification_id = outcome_of_status.specification_id
    left join outcomes on specifications.outcome = outcomes.outcome
    left join regressors on specifications.regressor = regressors.term
)

select * from final
