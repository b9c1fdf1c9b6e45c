{%- set axes = [
    'transform', 'weighting', 'scope', 'provider', 'controls', 'population', 'fixed_effects', 'period', 'city_sample',
    'dynamics', 'prices'
] -%}
with

axis_values as (
    select * from {{ ref('curve_axes') }}
),

curve as (
    select * from {{ ref('est_specification_curve') }}
),

-- One row per specification of the curve. Standard errors are not an axis, because they do not change the estimate.
-- Each kind of standard error has its own share of significant estimates.
specifications as (
    select
        specification_id,
        curve_id,
        {{ axes[:6] | join(', ') }},
        {{ axes[6:] | join(', ') }},
        [
            {%- for axis in axes %}
            '{{ axis }}=' || {{ axis }}{{ ',' if not loop.last }}
            {%- endfor %}
        ] as choices,
        min(standardised_estimate) as standardised_estimate,
        min(case when errors = 'city' then p_value end) as p_value_by_city,
        min(case when errors = 'province' then p_value end) as p_value_by_province
    from curve
    group by all
),

signed as (
    select
        *,
        sign(standardised_estimate)
        = sign(median(standardised_estimate) over (partition by specification_id)) as is_of_sign
    from specifications
),

chosen as (
    unpivot signed
    on {{ axes | join(', ') }}
    into name axis value value
),

valued as (
    select
        *,
        list_filter(choices, lambda choice: not starts_with(choice, axis || '=')) as others,
        case when standardised_estimate is not null then value end as estimated_value
    from chosen
),

-- Estimates for comparing the values of an axis. An estimate is used only if all values have one with the same choices
-- on the other axes.
matched as (
    select
        *,
        case
            when
                count(estimated_value) over (partition by specification_id, axis, others)
                = count(distinct estimated_value) over (partition by specification_id, axis)
                then standardised_estimate
        end as matched_estimate
    from valued
),

-- Mean of the matched estimates. The average is ordered, because floating-point sums depend on the order of the rows.
means as (
    select
        specification_id,
        axis,
        avg(matched_estimate order by curve_id) as mean_estimate
    from matched
    group by specification_id, axis
),

centred as (
    select
        matched.*,
        matched.matched_estimate - means.mean_estimate as deviation
    from matched
    inner join means using (specification_id, axis)
),

by_value as (
    select
        specification_id,
        axis,
        value,
        count(*) as specification_count,
        count(standardised_estimate) as estimated_count,
        median(matched_estimate) as median_estimate,
        avg(cast(is_of_sign as integer)) as same_sign_share,
        avg(cast(is_of_sign and p_value_by_city < 0.05 as integer)) as significant_by_city_share,
        avg(cast(is_of_sign and p_value_by_province < 0.05 as integer)) as significant_by_province_share,
        coalesce(count(deviation) * power(avg(deviation order by curve_id), 2), 0) as between_sum_of_squares,
        sum(power(deviation, 2) order by curve_id) as sum_of_squares
    from centred
    group by specification_id, axis, value
),

-- Share of the variation between all matched estimates that the values of one axis explain.
of_axis as (
    select
        specification_id,
        axis,
        sum(between_sum_of_squares order by value) / nullif(sum(sum_of_squares order by value), 0) as variance_share
    from by_value
    group by specification_id, axis
),

final as (
    select
        {{ extract_set() }} as extract_set,
        by_value.* exclude (between_sum_of_squares, sum_of_squares),  -- noqa: RF02
        cast(axis_values.value_order as bigint) as value_order,
        axis_values.standing,
        axis_values.why_en,
        axis_values.why_zh,
        of_axis.variance_share
    from by_value
    inner join of_axis using (specification_id, axis)
    inner join axis_values using (axis, value)
    -- Skip axes with a single value.
    qualify count(*) over (partition by by_value.specification_id, by_value.axis) > 1
)

select * from final
order by value_order
