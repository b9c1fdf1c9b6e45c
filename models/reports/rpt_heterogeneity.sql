with

specifications as (
    select
        *,
        split_part(subsample, '=', 1) as split_grouping,
        split_part(subsample, '=', 2) as split_group
    from {{ ref('regression_specifications') }}
    where table_id = 'heterogeneity'
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
    where table_id = 'heterogeneity'
),

groups as (
    select distinct
        grouping,
        group_name,
        is_reference
    from {{ ref('dim_city_groups') }}
),

estimated as (
    select
        specifications.*,
        coefficients.estimate,
        coefficients.std_error,
        coefficients.std_error_province,
        coefficients.joint_statistic,
        coefficients.joint_df1,
        coefficients.joint_df2,
        coefficients.joint_p_value,
        coefficients.observation_count,
        coefficients.city_count,
        coefficients.substitutions as all_substitutions,
        coefficients.substitutions_zh,
        coefficients.status,
        coefficients.reason,
        coefficients.reason_zh
    from specifications
    inner join coefficients
        on
            specifications.specification_id = coefficients.specification_id
            and specifications.regressor = coefficients.term
),

final as (
    select
        {{ extract_set() }} as extract_set,
        pooled.specification_id,
        pooled.reading,
        pooled.grouping,
        groups.group_name,
        groups.is_reference,
        pooled.fixed_effects,
        split.estimate as split_sample_estimate,
        split.std_error as split_sample_std_error,
        split.std_error_province as split_sample_std_error_province,
        split.city_count as split_sample_city_count,
        differences.estimate as difference,
        differences.std_error as difference_std_error,
        differences.p_value as difference_p_value,
        differences.conf_low as difference_conf_low,
        differences.conf_high as difference_conf_high,
        {%- for name in ['std_error', 'p_value', 'conf_low', 'conf_high'] %}
        differences.{{ name }}_province as difference_{{ name }}_province,
        {%- endfor %}
        case
            when
                count(differences.term) over of_specification > 0
                and count(differences.p_value_province) over of_specification
                = count(differences.term) over of_specification
                then least(
                    1,
                    count(differences.term) over of_specification
                    * min(differences.p_value_province) over of_specification
                )
        end as groups_p_value_province,
        pooled.joint_statistic,
        pooled.joint_df1,
        pooled.joint_df2,
        pooled.joint_p_value,
        pooled.observation_count,
        pooled.city_count,
        pooled.all_substitutions as substitutions,
        pooled.substitutions_zh,
        differences.warnings,
        differences.warnings_zh,
        pooled.status,
        pooled.reason,
        pooled.reason_zh
    from estimated as pooled
    left join groups using (grouping)
    left join coefficients as differences
        on
            pooled.specification_id = differences.specification_id
            and pooled.regressor || ':' || groups.group_name = differences.term
    -- Join the regression on the cities of one group. Fixed effects are not part of the join condition, because common
    -- and group-specific year effects coincide within a single group.
    left join estimated as split
        on
            pooled.grouping = split.split_grouping
            and groups.group_name = split.split_group
            and pooled.outcome = split.outcome
            and pooled.regressor = split.regressor
            and pooled.transform = split.transform
            and pooled.weighting = split.weighting
            and pooled.scope = split.scope
            and pooled.controls is not distinct from split.controls
            and pooled.providers is not distinct from split.providers
            and pooled.first_year = split.first_year
            and pooled.last_year = split.last_year
            and pooled.covariance = split.covariance
    where pooled.grouping is not null
    window of_specification as (partition by pooled.specification_id)
)

select * from final
