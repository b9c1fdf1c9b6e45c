{#- Level of the tests. -#}
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
        -- A printed number stands for all that round to it: half a last digit to either side.
        0.5 * power(10, -length(split_part(std_error, '.', 2))) as half_digit
    from {{ ref('published_estimates') }}
),

published_facts as (
    select
        facts.fact_id,
        facts.value,
        facts.city_ids,
        dim_labels.label_en as statement,
        dim_labels.label_zh as statement_zh
    from {{ ref('published_facts') }} as facts
    inner join {{ ref('dim_labels') }} as dim_labels
        on
            dim_labels.kind = 'fact'
            and facts.fact_id = dim_labels.name
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

distribution as (
    select
        *,
        row_number() over (order by measure_count desc, city_id asc) as place
    from {{ ref('fct_spatial_distribution') }}
    where
        measure = 'ai_firms'
        and year = {{ period('base_year') }}
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
            when coefficients.term is null then '估计中没有此项：该年没有剩余的城市年。'
            else coefficients.reason_zh
        end as reason_zh,
        -- What the interval by province says; without one nothing.
        case
            when coefficients.estimate is null then 'not_estimable'
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
        -- The least likely of all intervals together: Bonferroni. The smaller of one and nothing would be one.
        case
            when p_value_printed is not null
                then least(1, p_value_printed * count(case when status = 'estimated' then estimate end) over ())
        end as miss_p_value_of_all
    from compared
),

-- What a dynamic panel gives for the lagged outcome, against what is printed for the measure.
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
            -- Towards one, where the outcome is on both sides.
            when counted.status = 'mechanical' and abs(counted.estimate - 1) < abs(counted.printed_value - 1) then 4
            -- Only where the dynamic panel passes its own tests: a rejected one explains nothing.
            when
                counted.is_sound
                and abs(counted.printed_value - lagged_outcomes.lagged_estimate)
                < abs(counted.printed_value - counted.estimate) then 3
            when counted.miss_p_value_of_all > {{ level }} then 11
        end as explaining_remark_number
    from counted
    left join lagged_outcomes using (specification_id)
),

coefficient_rows as (
    select
        'coefficient' as item_kind,
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
),

-- One row, with nulls where AI firms were not delivered.
national as (
    select
        sum(distribution.measure_count) as ai_firm_count,
        sum(case when distribution.place <= 5 then distribution.measure_count end) as largest_five_count,
        {%- for class in ['over_200', '100_to_200', '1_to_100', 'zero'] %}
        sum(
            case
                when class = '{{ class }}' then 1
                when class is not null then 0
            end
        ) as class_{{ class }}_count,
        {%- endfor %}
        sum(
            case
                when is_single_digit then 1
                when class is not null then 0
            end
        ) as single_digit_count
    from distribution
),

named as (
    select
        published_facts.fact_id,
        sum(distribution.measure_count) as named_count
    from published_facts
    inner join distribution on list_contains(string_split(published_facts.city_ids, ' '), distribution.city_id)
    group by published_facts.fact_id
),

facts as (
    {%- for fact_id, expression in [
        ('shenzhen_ai_firms', 'named_count'),
        ('shenzhen_share', '100 * named_count / ai_firm_count'),
        ('top5_share', '100 * named_count / ai_firm_count'),
        ('five_largest_share', '100 * largest_five_count / ai_firm_count'),
        ('cities_over_200', 'class_over_200_count'),
        ('cities_100_to_200', 'class_100_to_200_count'),
        ('cities_1_to_100', 'class_1_to_100_count'),
        ('cities_single_digit', 'single_digit_count'),
        ('cities_zero', 'class_zero_count')
    ] %}
    select
        '{{ fact_id }}' as fact_id,
        cast({{ expression }} as double) as value
    from national
    left join named on named.fact_id = '{{ fact_id }}'
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

substitution as (
    select
        max(substitution) as substitutions,
        max(substitution_zh) as substitutions_zh
    from {{ ref('dim_series') }}
    where
        series = 'ai_firm_count'
        and scope = 'industry'
),

fact_rows as (
    select
        'fact' as item_kind,
        facts.fact_id as item_id,
        published_facts.statement as label_en,
        published_facts.statement_zh as label_zh,
        published_facts.value as printed_text,
        facts.value as estimated_value,
        case
            when facts.value is null then 'not_estimable'
            when substitution.substitutions is not null then 'not_comparable'
            -- A printed number stands for all that round to it.
            when
                round(facts.value, cast(length(split_part(published_facts.value, '.', 2)) as integer))
                = cast(published_facts.value as double) then 'compatible'
            else 'differs'
        end as verdict,
        case
            when facts.value is null then 'not_estimable'
            when substitution.substitutions is not null then 'not_comparable'
            else 'estimated'
        end as status,
        case
            when facts.value is null then 'Not delivered: ai_firm_count (industry).'
            else 'Of another definition than the paper''s: ' || substitution.substitutions
        end as reason,
        case
            when facts.value is null then '未交付：ai_firm_count (industry)。'
            else '定义与论文不同：' || substitution.substitutions_zh
        end as reason_zh,
        substitution.substitutions,
        substitution.substitutions_zh
    from facts
    inner join published_facts using (fact_id)
    cross join substitution
),

final as (
    select
        {{ extract_set() }} as extract_set,
        *
    from coefficient_rows
    union all by name
    select
        {{ extract_set() }} as extract_set,
        *
    from fact_rows
)

select * from final
