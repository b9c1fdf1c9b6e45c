-- Make this report wait for the gate, although it reads no estimates.
-- depends_on: {{ ref('gate_results') }}
with

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

distribution as (
    select
        *,
        row_number() over (order by measure_count desc, city_id asc) as place
    from {{ ref('fct_spatial_distribution') }}
    where
        measure = 'ai_firms'
        and year = {{ declared_year('base_year') }}
),

-- National totals, in one row. The totals are null if AI firms were not delivered.
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

final as (
    select
        {{ extract_set() }} as extract_set,
        facts.fact_id,
        published_facts.statement as label_en,
        published_facts.statement_zh as label_zh,
        published_facts.value as printed_text,
        facts.value as estimated_value,
        case
            when facts.value is null then 'not_estimable'
            when substitution.substitutions is not null then 'not_comparable'
            -- A printed number is compatible with all values that round to it.
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
            when facts.value is null then 'Not delivered: ai_firm_count (industry) in {{ declared_year('base_year') }}.'
            else 'Of another definition than the paper''s: ' || substitution.substitutions
        end as reason,
        case
            when facts.value is null then '{{ declared_year('base_year') }}年未交付：ai_firm_count (industry)。'
            else '定义与论文不同：' || substitution.substitutions_zh
        end as reason_zh,
        substitution.substitutions,
        substitution.substitutions_zh
    from facts
    inner join published_facts using (fact_id)
    cross join substitution
)

select * from final
