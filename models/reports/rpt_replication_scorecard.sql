with

published as (
    select
        table_id,
        column_number,
        term,
        printed_label,
        estimate as printed_text,
        std_error as printed_std_error_text,
        coalesce(stars, '') as printed_stars,
        n_obs as printed_observation_count,
        r_squared as printed_r2_text,
        cast(estimate as double) as printed_value,
        cast(std_error as double) as printed_std_error,
        -- A printed number stands for all that round to it: half a last digit to either side.
        0.5 * power(10, -length(split_part(std_error, '.', 2))) as half_digit
    from {{ ref('published_estimates') }}
),

published_facts as (
    select * from {{ ref('published_facts') }}
),

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
),

distribution as (
    select * from {{ ref('fct_spatial_distribution') }}
    where
        measure = 'ai_firms'
        and year = {{ var('base_year') }}
),

extract_sets as (
    select max(extract_set) as extract_set
    from columns_shown
),

compared as (
    select
        columns_shown.extract_set,
        published.*,
        columns_shown.specification_id,
        columns_shown.status,
        coefficients.estimate,
        coefficients.std_error,
        coefficients.p_value,
        coefficients.conf_low,
        coefficients.conf_high,
        coefficients.observation_count,
        coefficients.r2_inclusive,
        coefficients.substitutions,
        coefficients.reason,
        published.printed_value between coefficients.conf_low and coefficients.conf_high as is_inside_interval,
        -- Two-sided, from the normal distribution: with some 200 clusters t is no other to two digits.
        {{ normal_p_value('(published.printed_value - coefficients.estimate) / nullif(coefficients.std_error, 0)') }}
            as miss_p_value
    from published
    inner join columns_shown
        on
            published.table_id = columns_shown.table_id
            and published.column_number = columns_shown.column_number
    left join coefficients
        on
            columns_shown.specification_id = coefficients.specification_id
            and (published.term = coefficients.term or coefficients.status = 'not_estimable')
),

counted as (
    select
        *,
        status = 'mechanical' as is_mechanical,
        table_id = 'table_4' and column_number = 4 as is_dynamic,
        count(case when status = 'estimated' then 1 end) over () as estimated_count
    from compared
),

coefficient_rows as (
    select
        extract_set,
        'coefficient' as item_kind,
        table_id || '_' || column_number || '_' || term as item_id,
        table_id,
        column_number,
        term,
        printed_label as label_zh,
        printed_text,
        printed_std_error_text,
        printed_stars,
        printed_observation_count,
        printed_r2_text,
        specification_id,
        estimate as estimated_value,
        std_error,
        conf_low,
        conf_high,
        {{ stars('p_value') }} as estimated_stars,
        observation_count,
        r2_inclusive,
        case
            when printed_std_error > half_digit then (estimate - printed_value) / (printed_std_error + half_digit)
        end as difference_in_largest_printed_errors,
        case
            when printed_std_error > half_digit then (estimate - printed_value) / (printed_std_error - half_digit)
        end as difference_in_smallest_printed_errors,
        sign(estimate) = sign(printed_value) as is_same_sign,
        {{ stars('p_value') }} = printed_stars as is_same_stars,
        is_inside_interval as is_reproduced,
        case
            when is_inside_interval or estimate is null then null
            when is_mechanical then 4
            when is_dynamic then 3
            -- The least likely of all intervals together: Bonferroni.
            when miss_p_value * estimated_count > 0.05 then 11
        end as explaining_remark_number,
        status,
        reason,
        substitutions
    from counted
),

-- One row, with nulls where AI firms were not delivered.
national as (
    select
        max(extract_sets.extract_set) as extract_set,
        sum(distribution.measure_count) as ai_firm_count,
        sum(case when distribution.city_id = '440300' then distribution.measure_count end) as shenzhen_count,
        sum(
            case
                when distribution.city_id in ('440300', '320500', '440100', '441900', '310000')
                    then distribution.measure_count
            end
        ) as named_five_count,
        {%- for class in ['over_200', '100_to_200', '1_to_100', 'zero'] %}
        sum(case when distribution.class = '{{ class }}' then 1 end) as class_{{ class }}_count,
        {%- endfor %}
        sum(case when distribution.is_single_digit then 1 end) as single_digit_count
    from extract_sets
    left join distribution on extract_sets.extract_set = distribution.extract_set
),

facts as (
    {%- for fact_id, expression in [
        ('shenzhen_ai_firms', 'shenzhen_count'),
        ('shenzhen_share', '100 * shenzhen_count / ai_firm_count'),
        ('top5_share', '100 * named_five_count / ai_firm_count'),
        ('cities_over_200', 'class_over_200_count'),
        ('cities_100_to_200', 'class_100_to_200_count'),
        ('cities_1_to_100', 'class_1_to_100_count'),
        ('cities_single_digit', 'single_digit_count'),
        ('cities_zero', 'class_zero_count')
    ] %}
    select
        extract_set,
        '{{ fact_id }}' as fact_id,
        cast({{ expression }} as double) as value
    from national
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

substitution as (
    select max(substitution) as substitutions
    from {{ ref('dim_series') }}
    where
        series = 'ai_firm_count'
        and scope = 'industry'
),

fact_rows as (
    select
        facts.extract_set,
        'fact' as item_kind,
        facts.fact_id as item_id,
        cast(null as varchar) as table_id,
        cast(null as integer) as column_number,
        cast(null as varchar) as term,
        published_facts.statement as label_zh,
        published_facts.value as printed_text,
        cast(null as varchar) as printed_std_error_text,
        cast(null as varchar) as printed_stars,
        cast(null as integer) as printed_observation_count,
        cast(null as varchar) as printed_r2_text,
        cast(null as varchar) as specification_id,
        facts.value as estimated_value,
        cast(null as double) as std_error,
        cast(null as double) as conf_low,
        cast(null as double) as conf_high,
        cast(null as varchar) as estimated_stars,
        cast(null as bigint) as observation_count,
        cast(null as double) as r2_inclusive,
        cast(null as double) as difference_in_largest_printed_errors,
        cast(null as double) as difference_in_smallest_printed_errors,
        cast(null as boolean) as is_same_sign,
        cast(null as boolean) as is_same_stars,
        round(facts.value, cast(length(split_part(published_facts.value, '.', 2)) as integer))
        = cast(published_facts.value as double)
            as is_reproduced,
        cast(null as integer) as explaining_remark_number,
        case when facts.value is null then 'not_estimable' else 'estimated' end as status,
        case when facts.value is null then 'Not delivered: ai_firm_count (industry).' end as reason,
        substitution.substitutions
    from facts
    inner join published_facts on facts.fact_id = published_facts.fact_id
    cross join substitution
),

final as (
    select * from coefficient_rows
    union all
    select * from fact_rows
)

select * from final
