{%- set columns = [
    'estimate', 'std_error', 'std_error_province', 'p_value', 'p_value_province', 'conf_low_province', 'conf_high_province', 'bootstrap_p_value',
    'r2_inclusive', 'r2_within', 'hansen_p_value', 'ar2_p_value'
] -%}
{#- Notes on the estimates behind a figure, repeated for the reader. -#}
{%- set notes = ['substitutions', 'substitutions_zh', 'warnings', 'warnings_zh'] -%}
with

remarks as (
    select * from {{ ref('paper_remarks') }}
),

figures as (
    select * from {{ ref('remark_figures') }}
),

coefficients as (
    select
        coefficients.*,
        specifications.error_province_en,
        specifications.error_province_zh
    from {{ ref('rpt_coefficients') }} as coefficients
    inner join {{ ref('rpt_specifications') }} as specifications using (specification_id)
),

-- Joint pre-trend test that all effects before the event are zero, with CRV3 standard errors by province.
pre_trends as (
    select * from {{ ref('est_inference') }}
    where method = 'pre_trend'
),

scorecard as (
    select * from {{ ref('rpt_replication_scorecard') }}
),

published as (
    select * from {{ ref('published_estimates') }}
),

panel as (
    select * from {{ ref('fct_city_year_panel') }}
),

groups as (
    select * from {{ ref('dim_city_groups') }}
),

read_rows as (
    select
        figures.remark_number,
        figures.figure_number,
        figures.column_name,
        figures.column_name = 'estimate' or ends_with(figures.column_name, '_province') as is_by_province,
        coefficients.*,
        pre_trends.p_value as pre_trend_p_value,
        pre_trends.reason as pre_trend_reason,
        pre_trends.reason_zh as pre_trend_reason_zh,
        -- Event-study effects are relative to the years before the event. They are reported as void if the pre-trend
        -- test could not be computed.
        coefficients.event_time is not null and pre_trends.reason is not null as is_void
    from figures
    inner join coefficients
        on
            figures.specification_id = coefficients.specification_id
            and (figures.term = coefficients.term or coefficients.status = 'not_estimable')
    left join pre_trends on figures.specification_id = pre_trends.specification_id
),

read_values as (
    select
        remark_number,
        figure_number,
        case
            when is_void then null
            {%- for column in columns + ['pre_trend_p_value'] %}
            when column_name = '{{ column }}' then {{ column }}
            {%- endfor %}
        end as value,
        case when column_name = 'estimate' and not is_void then std_error_province end as std_error,
        case when is_by_province then error_province_en end as error_en,
        case when is_by_province then error_province_zh end as error_zh,
        {%- for column in notes %}
        case when status <> 'not_estimable' then nullif({{ column }}, '') end as {{ column }},
        {%- endfor %}
        coalesce(case when is_void then pre_trend_reason end, reason) as reason,
        coalesce(case when is_void then pre_trend_reason_zh end, reason_zh) as reason_zh
    from read_rows
),

identity as (
    select
        abs(
            max(case when figure_number = 1 then value end) - max(case when figure_number = 2 then value end)
        ) as identity_difference,
        string_agg(distinct substitutions, '; ' order by substitutions) as substitutions,
        string_agg(distinct substitutions_zh, '；' order by substitutions_zh) as substitutions_zh,
        string_agg(distinct warnings, '; ' order by warnings) as warnings,
        string_agg(distinct warnings_zh, '' order by warnings_zh) as warnings_zh
    from read_values
    where
        remark_number = 1
        and figure_number <= 2
),

printed as (
    select
        max(case when table_id = 'table_4' and column_number = 4 then cast(estimate as double) end) as printed_gmm,
        max(case when table_id = 'table_1' and column_number = 1 then cast(r_squared as double) end) as printed_r2,
        max(case when table_id = 'table_1' and column_number = 1 then cast(std_error as double) end) as printed_error
    from published
),

growth as (
    select
        city_id,
        max(ai_firms_weight) as weight,
        -- Average annual log growth, because the first and last years with data differ between cities.
        (arg_max(ln_gdp, year) - arg_min(ln_gdp, year)) / nullif(max(year) - min(year), 0) as gdp_growth
    from panel
    where ln_gdp is not null
    group by city_id
),

-- The correlation is rounded, because the order of summation can change its last digits between builds.
correlation_with_growth as (
    select round(corr(weight, gdp_growth), 10) as weight_and_growth
    from growth
),

correlation_with_size as (
    select round(corr(case when groups.is_reference then 0 else 1 end, panel.ln_gdp), 10) as treatment_and_size
    from groups
    inner join {{ ref('city_groupings') }} using (grouping)
    inner join panel using (city_id, year)
    where groups.grouping = 'secondary_dominant'
),

misses as (
    select
        cast(count(*) as double) as printed_count,
        cast(count(estimated_value) as double) as estimated_count,
        {%- for verdict in ['compatible', 'cannot_tell', 'not_found', 'differs'] %}
        cast(count(case when verdict = '{{ verdict }}' then 1 end) as double) as {{ verdict }}_count,
        {%- endfor %}
        cast(nullif(count(case when verdict = 'not_comparable' then 1 end), 0) as double) as partial_count,
        cast(count(case when explaining_remark_number <> 11 then 1 end) as double) as explained_count,
        cast(count(case when explaining_remark_number = 11 then 1 end) as double) as chance_count,
        cast(count(
            case when verdict in ('differs', 'not_found') and explaining_remark_number is null then 1 end
        ) as double) as unexplained_count,
        0.05 * count(case when status = 'estimated' and verdict <> 'not_comparable' then 1 end) as expected_count,
        min(
            case
                when verdict in ('differs', 'not_found') and coalesce(explaining_remark_number, 11) = 11
                    then miss_p_value_of_all
            end
        ) as least_likely_p_value
    from scorecard
),

-- Firm entries by register and year, with the register's total. Only the largest register is used below. Shares by year
-- exclude the row that sums the years before the period.
vintages as (
    select
        *,
        sum(firm_count) over (partition by provider, source_name) as register_firm_count
    from {{ ref('rpt_scope_vintage') }}
),

largest as (
    select * from vintages
    where register_firm_count = (select max(others.register_firm_count) from vintages as others)
),

vintage as (
    select
        10000 * arg_min(common_city_ai_share, entry_year) filter (where not is_sum_of_years) as vintage_first_share,
        10000 * arg_max(common_city_ai_share, entry_year) filter (where not is_sum_of_years) as vintage_last_share,
        arg_min(common_city_ai_share, entry_year) filter (where not is_sum_of_years)
        / nullif(arg_max(common_city_ai_share, entry_year) filter (where not is_sum_of_years), 0) as vintage_ratio,
        sum(ai_firm_count - ai_firm_bound_count) / nullif(sum(ai_firm_count), 0) as vintage_early_share
    from largest
),

-- Unpivot one-row relations into one row per figure.
computed_values as (
    {%- for relation in [
        'identity', 'printed', 'correlation_with_growth', 'correlation_with_size', 'misses', 'vintage'
    ] %}
    select *
    from {{ relation }}
    unpivot include nulls (
        value for computed in (
            {{ 'columns(* exclude (' ~ notes | join(', ') ~ '))' if loop.first else 'columns(*)' }}
        )
    )
    {%- if not loop.last %}
    union all by name
    {%- endif %}
    {%- endfor %}
),

found as (
    select
        figures.*,
        coalesce(read_values.value, computed_values.value) as value,
        read_values.std_error,
        read_values.error_en,
        read_values.error_zh,
        {%- for column in notes %}
        coalesce(read_values.{{ column }}, computed_values.{{ column }}) as {{ column }},
        {%- endfor %}
        case
            when figures.computed like 'vintage%' and computed_values.value is null
                then 'No register of firms was delivered.'
            else read_values.reason
        end as reason,
        case
            when figures.computed like 'vintage%' and computed_values.value is null then '未交付企业名录。'
            else read_values.reason_zh
        end as reason_zh
    from figures
    left join read_values using (remark_number, figure_number)
    left join computed_values using (computed)
),

-- An estimate that equals zero or one by construction does so up to rounding, which depends on the processor.
figures_in_words as (
    select
        {%- for column in ['value', 'std_error'] %}
        case
            when contains(column_name, 'p_value') and {{ column }} < 0.0005 then '< 0.001'
            when abs({{ column }} - round({{ column }})) < 1e-12 or abs({{ column }}) >= 1000
                then format('{:,.0f}', round({{ column }}) + 0)
            when abs({{ column }}) < 0.0005 then '< 0.001'
            else format(case when abs({{ column }}) < 1 then '{:.3f}' else '{:.3g}' end, {{ column }})
        end as {{ column }}_text,
        {%- endfor %}
        *
    from found
),

answered as (
    select
        remark_number,
        map_from_entries(
            list((cast(figure_number as varchar), value_text || coalesce(' [' || std_error_text || ']', '')))
        ) as texts,
        -- Name the kind of standard error once in each answer that contains coefficients.
        concat_ws(
            ' and ',
            case when count(std_error) > 0 then 'Errors in [ ]' end,
            case when bool_or(column_name = 'p_value_province') then 'p-values' end,
            case when bool_or(column_name = 'conf_low_province') then '95 % intervals' end
        ) as numbers_en,
        concat_ws(
            '、',
            case when count(std_error) > 0 then '[ ]内标准误' end,
            case when bool_or(column_name = 'p_value_province') then 'p值' end,
            case when bool_or(column_name = 'conf_low_province') then '95%区间' end
        ) as numbers_zh,
        case when count(std_error) > 0 then max(error_en) end as error_en,
        case when count(std_error) > 0 then max(error_zh) end as error_zh
    from figures_in_words
    group by remark_number
),

worded as (
    select
        remarks.*,
        {%- for language in ['en', 'zh'] %}
        {{ complete_sentences(replaced('remarks.answer_' ~ language, 'answered.texts')) }} as sentences_{{ language }},
        {%- endfor %}
        ' ' || answered.numbers_en || ': ' || answered.error_en || '.' as named_en,
        answered.numbers_zh || '：' || answered.error_zh || '。' as named_zh
    from remarks
    inner join answered using (remark_number)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        found.remark_number,
        worded.remark,
        worded.question_en,
        worded.question_zh,
        {%- for language in ['en', 'zh'] %}
        worded.sentences_{{ language }} || coalesce(worded.named_{{ language }}, '') as answer_{{ language }},
        {%- endfor %}
        found.figure_number,
        found.figure_en,
        found.figure_zh,
        found.value,
        found.std_error,
        found.error_en,
        found.error_zh,
        {%- for column in notes %}
        found.{{ column }},
        {%- endfor %}
        found.specification_id,
        found.reason,
        found.reason_zh
    from found
    inner join worded using (remark_number)
)

select * from final
