{#- In steps, as one is too deep for the linter. -#}
{%- set steps = [
    ['estimate', 'low', 'high', 'printed', 'printed_inside', 'printed_outside', 'p_city', 'p_province', 'reason'],
    ['next_year', 'p_next_year', 'present', 'next_year_rows', 'why_next_year', 'needed', 'failed', 'failing', 'not_made'],
    ['permuted', 'p_permuted', 'share', 'share_20', 'detectable', 'why_ai'],
    ['readings', 'same_sign', 'by_city', 'by_province'],
    ['printed_columns', 'unjudged', 'no_data', 'partial', 'imprecise', 'unsound', 'unmade', 'mechanical']
] -%}
with

questions as (
    select
        finding,
        finding_order,
        sentence_en as question_en,
        sentence_zh as question_zh
    from {{ ref('finding_sentences') }}
    where state = 'question'
),

sentences as (
    select * from {{ ref('finding_sentences') }}
),

verdicts as (
    select * from {{ ref('rpt_verdicts') }}
),

-- The main claim: that of the first specification which a table prints.
headline as (
    select verdicts.*
    from verdicts
    inner join {{ ref('regression_specifications') }} as specifications using (specification_id)
    order by specifications.specification_order
    limit 1
),

checks as (
    select
        credibility.*,
        credibility.aspect in ('family', 'required') as is_needed
    from {{ ref('rpt_credibility') }} as credibility
    inner join headline using (specification_id)
),

judged as (
    select
        specification_id,
        {%- for language, sentence in [('en', 'sentence'), ('zh', 'sentence_zh')] %}
        max({{ sentence }}) filter (where check_id = 'next_year' and passes is null) as why_next_year_{{ language }},
        max({{ sentence }}) filter (where check_id = 'ai_identified' and passes is null) as why_ai_{{ language }},
        max({{ sentence }}) filter (where aspect = 'zero' and passes is null) as reason_{{ language }},
        {%- endfor %}
        count(case when is_needed then 1 end) as needed,
        count(case when is_needed and not passes then 1 end) as failed,
        string_agg(label_en, ', ' order by check_order) filter (where is_needed and not passes) as failing_en,
        string_agg(label_zh, '、' order by check_order) filter (where is_needed and not passes) as failing_zh,
        bool_and(passes) filter (where check_id = 'next_year') as passes_next_year,
        max(figure) filter (where check_id = 'ai_variation') as share,
        max(figure) filter (where check_id = 'ai_identified') as detectable,
        max(figure) filter (where check_id = 'weights_permuted') as p_permuted
    from checks
    group by specification_id
),

next_years as (
    select
        inference.specification_id,
        max(case when ends_with(inference.term, '_next_year') then inference.estimate end) as next_year,
        max(case when ends_with(inference.term, '_next_year') then inference.p_value end) as p_next_year,
        max(case when inference.term = specifications.regressor then inference.estimate end) as present,
        max(inference.warnings) as rows_en,
        max(inference.warnings_zh) as rows_zh
    from {{ ref('est_inference') }} as inference
    inner join {{ ref('int_specifications_resolved') }} as specifications
        on inference.specification_id = specifications.specification_id
    where
        inference.method = 'next_year'
        and inference.setting = 'last_year=yes'
    group by inference.specification_id
),

concentrated as (
    select
        specification_id,
        max(value) as share_20
    from {{ ref('est_sensitivity') }}
    where
        method = 'share_of_variation'
        and setting = 'cities=20'
    group by specification_id
),

-- Ordered, as sums of doubles depend on their order.
permuted as (
    select
        specification_id,
        avg(estimate order by permutation) as permuted
    from {{ ref('est_permuted_weights') }}
    where strata = 'region_size'
    group by specification_id
),

-- Any one axis counts every specification once.
curve as (
    select
        specification_id,
        sum(estimated_count) as readings,
        sum(estimated_count * same_sign_share order by value) / nullif(sum(estimated_count), 0) as same_sign,
        sum(estimated_count * significant_by_city_share order by value) / nullif(sum(estimated_count), 0) as by_city,
        sum(estimated_count * significant_by_province_share order by value)
        / nullif(sum(estimated_count), 0) as by_province
    from {{ ref('rpt_specification_axes') }}
    where
        axis = 'transform'
        and estimated_count > 0
    group by specification_id
),

counted as (
    select
        {%- for name, causes in [
            ('no_data', "'no_data'"), ('partial', "'part_of_years'"), ('imprecise', "'imprecise', 'family'"),
            ('unsound', "'unsound'"), ('unmade', "'not_made'"), ('mechanical', "'mechanical'")
        ] %}
        count(case when cause in ({{ causes }}) then 1 end) as {{ name }},
        {%- endfor %}
        count(*) as printed_columns,
        count(case when verdict = 'cannot_tell' then 1 end) as unjudged
    from verdicts
),

stated as (
    select
        headline.specification_id,
        headline.substitutions,
        headline.substitutions_zh,
        coalesce(headline.cause, '') <> 'no_data' as is_estimated,
        coalesce(headline.cause, headline.verdict) as claim_state,
        case
            when judged.passes_next_year then 'passes'
            when not judged.passes_next_year then 'fails'
            else 'not_made'
        end as next_year_state,
        coalesce(headline.ai, 'cannot_tell') as ai_state,
        case
            when judged.failed > 0 then 'fails'
            when headline.not_made is not null then 'not_made'
            else 'passes'
        end as robust_state,
        case when counted.unjudged > 0 then 'some' else 'none' end as unjudged_state,
        {%- for language, not_made in [('en', 'not_made'), ('zh', 'not_made_zh')] %}
        map {
            'failing': judged.failing_{{ language }},
            'not_made': headline.{{ not_made }},
            'reason': judged.reason_{{ language }},
            'next_year_rows': next_years.rows_{{ language }},
            'why_next_year': judged.why_next_year_{{ language }},
            'why_ai': judged.why_ai_{{ language }}
        } as words_{{ language }},
        {%- endfor %}
        -- The numbers as they stand in a sentence.
        map {
            'estimate': printf('%.3f', headline.estimate),
            'low': printf('%.3f', headline.conf_low),
            'high': printf('%.3f', headline.conf_high),
            'printed': printf('%.3f', headline.printed_value),
            'printed_inside': case when headline.contains_printed then printf('%.3f', headline.printed_value) end,
            'printed_outside': case when not headline.contains_printed then printf('%.3f', headline.printed_value) end,
            'next_year': printf('%.3f', next_years.next_year),
            'p_next_year': {{ p_text('next_years.p_next_year') }},
            'present': printf('%.3f', next_years.present),
            'permuted': printf('%.3f', permuted.permuted),
            'p_permuted': {{ p_text('judged.p_permuted') }},
            'share': format('{:.2g} %', 100 * judged.share),
            'share_20': format('{:.0f} %', 100 * concentrated.share_20),
            'detectable': format('{:.2g}', judged.detectable),
            'needed': cast(judged.needed as varchar),
            'failed': cast(judged.failed as varchar),
            'p_city': {{ p_text('headline.p_value_city') }},
            'p_province': {{ p_text('headline.p_value') }},
            'readings': format('{:,}', cast(curve.readings as bigint)),
            'same_sign': format('{:.0f} %', 100 * curve.same_sign),
            'by_city': format('{:.0f} %', 100 * curve.by_city),
            'by_province': format('{:.0f} %', 100 * curve.by_province),
            {%- for name in ['no_data', 'partial', 'imprecise', 'unsound', 'unmade', 'mechanical'] %}
            '{{ name }}': cast(nullif(counted.{{ name }}, 0) as varchar),
            {%- endfor %}
            'printed_columns': cast(counted.printed_columns as varchar),
            'unjudged': cast(counted.unjudged as varchar)
        } as figures
    from headline
    inner join judged using (specification_id)
    left join next_years using (specification_id)
    left join concentrated using (specification_id)
    left join permuted using (specification_id)
    left join curve using (specification_id)
    cross join counted
),

chosen as (
    select
        unnest(['claim', 'next_year', 'ai', 'robust', 'unjudged']) as finding,
        unnest([claim_state, next_year_state, ai_state, robust_state, unjudged_state]) as state,
        *
    from stated
),

begun as (
    select
        chosen.*,
        {%- for language in ['en', 'zh'] %}
        sentences.sentence_{{ language }} as step_0_{{ language }},
        map_concat(chosen.figures, chosen.words_{{ language }}) as texts_{{ language }},
        {%- endfor %}
        questions.question_en,
        questions.question_zh,
        questions.finding_order
    from chosen
    inner join questions using (finding)
    inner join sentences using (finding, state)
    -- Without data there is nothing to ask of.
    where
        chosen.is_estimated
        or chosen.finding in ('claim', 'unjudged')
),
{% for names in steps %}
{% set before, step = 'step_' ~ loop.index0, 'step_' ~ loop.index %}
{{ step }} as (
    select
        {%- for language in ['en', 'zh'] %}
        {{ replaced(before ~ '_' ~ language, 'texts_' ~ language, names) }} as {{ step }}_{{ language }},
        {%- endfor %}
        *
    from {{ 'begun' if loop.first else before }}
),
{% endfor %}
final as (
    select
        {{ extract_set() }} as extract_set,
        finding,
        finding_order,
        specification_id,
        state,
        question_en,
        question_zh,
        {{ complete_sentences('step_' ~ steps | length ~ '_en') }} as sentence,
        {{ complete_sentences('step_' ~ steps | length ~ '_zh') }} as sentence_zh,
        substitutions,
        substitutions_zh
    from step_{{ steps | length }}
)

select * from final
order by finding_order
