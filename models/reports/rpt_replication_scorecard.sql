{#- Significance level of the tests. -#}
{%- set level = 0.05 -%}
with

published as (
    select
        table_id,
        column_number,
        term,
        estimate as printed_text,
        std_error as printed_std_error_text,
        coalesce(stars, '') as printed_stars,
        n_obs as printed_observation_count,
        r_squared as printed_r2_text,
        cast(estimate as double) as printed_value,
        cast(std_error as double) as printed_std_error,
        -- A printed number represents all values within half a unit of its last digit.
        0.5 * power(10, -length(split_part(std_error, '.', 2))) as half_digit
    from {{ ref('published_estimates') }}
),

labels as (
    select
        name as term,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'term'
),

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
),

compared as (
    select
        published.*,
        labels.label_en,
        labels.label_zh,
        columns_shown.specification_id,
        case when coefficients.estimate is null then 'not_estimable' else columns_shown.status end as status,
        coefficients.estimate,
        coefficients.std_error,
        {{ stars('coefficients') }} as estimated_stars,
        coefficients.conf_low,
        coefficients.conf_high,
        coefficients.observation_count,
        coefficients.r2_inclusive,
        coefficients.substitutions,
        coefficients.substitutions_zh,
        coefficients.is_sound,
        coefficients.std_error_province,
        coefficients.conf_low_province,
        coefficients.conf_high_province,
        coefficients.p_value_printed,
        case
            when coefficients.term is null then 'The estimate has no such term: no city-year of that year is left.'
            else coefficients.reason
        end as reason,
        case
            when coefficients.term is null then '估计中没有此项：该年已无城市—年份。'
            else coefficients.reason_zh
        end as reason_zh,
        -- The verdict uses the confidence interval clustered by province, and is cannot_tell if there is no such
        -- interval.
        case
            when coefficients.estimate is null then 'not_estimable'
            when columns_shown.is_partial then 'not_comparable'
            when coefficients.conf_low_province is null then 'cannot_tell'
            when published.printed_value between coefficients.conf_low_province and coefficients.conf_high_province
                then
                    case
                        when 0 between coefficients.conf_low_province and coefficients.conf_high_province
                            then 'cannot_tell'
                        else 'compatible'
                    end
            when 0 between coefficients.conf_low_province and coefficients.conf_high_province then 'not_found'
            else 'differs'
        end as verdict
    from published
    left join labels using (term)
    inner join columns_shown using (table_id, column_number)
    left join coefficients
        on
            columns_shown.specification_id = coefficients.specification_id
            and (published.term = coefficients.term or coefficients.status = 'not_estimable')
),

counted as (
    select
        *,
        -- Bonferroni-adjusted p-value. The null test is needed because least() ignores nulls and would return 1.
        case
            when p_value_printed is not null
                then least(1, p_value_printed * count(case when status = 'estimated' then estimate end) over ())
        end as miss_p_value_of_all
    from compared
),

-- Coefficient of the lagged outcome in each dynamic panel, which the paper may have printed in place of the measure's
-- coefficient.
lagged_outcomes as (
    select
        specification_id,
        max(estimate) as lagged_estimate
    from coefficients
    where
        estimator = 'dynamic_panel'
        and term = 'L.' || outcome
    group by specification_id
),

explained as (
    select
        counted.*,
        case
            when counted.verdict not in ('differs', 'not_found') then null
            -- Remark 4 in paper_remarks.csv: the regressor is computed from the outcome, which moves the coefficient
            -- towards one.
            when counted.status = 'mechanical' and abs(counted.estimate - 1) < abs(counted.printed_value - 1) then 4
            -- Remark 3 in paper_remarks.csv, on dynamic panels. It requires that the panel passes its specification
            -- tests, because a rejected model explains nothing.
            when
                counted.is_sound
                and abs(counted.printed_value - lagged_outcomes.lagged_estimate)
                < abs(counted.printed_value - counted.estimate) then 3
            when counted.miss_p_value_of_all > {{ level }} then 11
        end as explaining_remark_number
    from counted
    left join lagged_outcomes using (specification_id)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        table_id || '_' || column_number || '_' || term as item_id,
        * exclude (
            estimate, printed_value, printed_std_error, half_digit, is_sound, p_value_printed
        ),
        estimate as estimated_value,
        case
            when printed_std_error > half_digit then (estimate - printed_value) / (printed_std_error + half_digit)
        end as difference_in_largest_printed_errors,
        case
            when printed_std_error > half_digit then (estimate - printed_value) / (printed_std_error - half_digit)
        end as difference_in_smallest_printed_errors,
        sign(estimate) = sign(printed_value) as is_same_sign,
        estimated_stars = printed_stars as is_same_stars
    from explained
)

select * from final
