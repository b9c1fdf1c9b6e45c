with

specifications as (
    select * from {{ ref('regression_specifications') }}
    where table_id = 'heterogeneity'
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
    where
        table_id = 'heterogeneity'
        and status <> 'not_estimable'
),

groups as (
    select distinct
        grouping,
        group_name,
        is_reference
    from {{ ref('dim_city_groups') }}
),

pooled as (
    select
        coefficients.*,
        specifications.grouping,
        specifications.fixed_effects
    from coefficients
    inner join specifications on coefficients.specification_id = specifications.specification_id
    where specifications.grouping is not null
),

split as (
    select
        coefficients.*,
        split_part(specifications.subsample, '=', 1) as grouping,
        split_part(specifications.subsample, '=', 2) as group_name,
        specifications.controls
    from coefficients
    inner join specifications on coefficients.specification_id = specifications.specification_id
    where
        specifications.subsample is not null
        and coefficients.term = coefficients.regressor
),

tests as (
    select
        pooled.*,
        specifications.controls
    from pooled
    inner join specifications on pooled.specification_id = specifications.specification_id
    where pooled.term = pooled.regressor
),

final as (
    select
        tests.extract_set,
        tests.specification_id,
        tests.grouping,
        groups.group_name,
        groups.is_reference,
        tests.fixed_effects,
        split.estimate as split_sample_estimate,
        split.std_error as split_sample_std_error,
        split.city_count as split_sample_city_count,
        differences.estimate as difference,
        differences.std_error as difference_std_error,
        differences.p_value as difference_p_value,
        tests.joint_statistic,
        tests.joint_df1,
        tests.joint_df2,
        tests.joint_p_value,
        tests.observation_count,
        tests.city_count,
        tests.substitutions
    from tests
    inner join groups on tests.grouping = groups.grouping
    left join pooled as differences
        on
            tests.specification_id = differences.specification_id
            and tests.regressor || ':' || groups.group_name = differences.term
    left join split
        on
            tests.grouping = split.grouping
            and groups.group_name = split.group_name
            and tests.controls = split.controls
)

select * from final
