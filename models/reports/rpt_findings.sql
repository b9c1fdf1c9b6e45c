{#- In steps, as one is too deep for the linter. -#}
{%- set findings = ['claim', 'case', 'ai', 'next_year', 'doubtful', 'unit', 'population', 'unjudged'] -%}
{%- set steps = [
    ['estimate', 'printed', 'printed_outside', 'failing', 'not_made', 'reason'],
    ['rows', 'cities', 'provinces', 'first_year', 'last_year', 'low', 'high', 'error_city', 'error_province'],
    ['readings', 'same_sign', 'by_city', 'by_province'],
    ['next_year', 'p_next_year', 'next_year_rows', 'next_alone', 'present_alone', 'next_beside', 'present_beside', 'why_next_year'],
    ['permuted', 'p_permuted', 'share', 'share_20', 'detectable', 'why_ai'],
    ['doubtful'],
    ['level', 'level_city', 'level_province'],
    ['resident', 'resident_city', 'resident_province', 'resident_rows', 'resident_last_year'],
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
        credibility.aspect in ('required', 'stable') as is_needed
    from {{ ref('rpt_credibility') }} as credibility
    inner join headline using (specification_id)
),

judged as (
    select
        specification_id,
        {%- for language, sentence in [('en', 'sentence'), ('zh', 'sentence_zh')] %}
        {%- for name, check in [('next_year', 'next_year'), ('ai', 'ai_identified')] %}
        max(regexp_replace({{ sentence }}, '^(Not made[.] |未进行。)', '')) filter (
            where check_id = '{{ check }}'
            and passes is null
        ) as why_{{ name }}_{{ language }},
        {%- endfor %}
        max(regexp_replace({{ sentence }}, '^(Not made[.] |未进行。)', '')) filter (
            where check_id = 'without_flagged'
        ) as doubtful_{{ language }},
        {%- endfor %}
        string_agg(label_en, ', ' order by check_order) filter (where is_needed and not passes) as failing_en,
        string_agg(label_zh, '、' order by check_order) filter (where is_needed and not passes) as failing_zh,
        bool_and(passes) filter (where check_id = 'next_year') as passes_next_year,
        bool_and(passes) filter (where check_id = 'without_flagged') as passes_doubtful,
        bool_or(figure is null) filter (where check_id = 'without_flagged') as lacks_doubtful,
        max(figure) filter (where check_id = 'ai_variation') as share,
        max(figure) filter (where check_id = 'ai_identified') as detectable,
        max(figure) filter (where check_id = 'weights_permuted') as p_permuted
    from checks
    group by specification_id
),

next_years as (
    select
        inference.specification_id,
        {%- for name, method, setting, term in [
            ('next_year', 'next_year', 'last_year=yes', '_next_year'),
            ('next_beside', 'next_year', 'last_year=no', '_next_year'),
            ('present_beside', 'next_year', 'last_year=no', ''),
            ('next_alone', 'next_year_instead', '', '_next_year'),
            ('present_alone', 'next_year_instead', '', '')
        ] %}
        max(inference.estimate) filter (
            where inference.method = '{{ method }}'
            and inference.setting = '{{ setting }}'
            and inference.term = specifications.regressor || '{{ term }}'
        ) as {{ name }},
        {%- endfor %}
        max(inference.p_value) filter (
            where inference.method = 'next_year'
            and inference.setting = 'last_year=yes'
            and inference.term = specifications.regressor || '_next_year'
        ) as p_next_year,
        -- The first number of its note: how many city-years have all three years.
        max(regexp_extract(inference.warnings, '[0-9,]+')) filter (
            where inference.method = 'next_year'
            and inference.setting = 'last_year=yes'
        ) as next_year_rows
    from {{ ref('est_inference') }} as inference
    inner join {{ ref('int_specifications_resolved') }} as specifications
        on inference.specification_id = specifications.specification_id
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
    group by specification_id
),

-- One row per combination of choices that none dominates, with the errors of its row.
combinations as (
    select
        specification_id,
        curve_id,
        min(standardised_estimate) as standardised_estimate,
        min(case when errors = 'city' then p_value end) as p_city,
        min(case when errors = 'province' then p_value end) as p_province
    from {{ ref('est_specification_curve') }}
    where
        not is_dominated
        and standardised_estimate is not null
    group by all
),

signed as (
    select
        *,
        sign(standardised_estimate)
        = sign(median(standardised_estimate) over (partition by specification_id)) as is_of_sign
    from combinations
),

curve as (
    select
        specification_id,
        count(*) as readings,
        avg(cast(is_of_sign as integer)) as same_sign,
        avg(cast(p_city < 0.05 as integer)) as by_city,
        avg(cast(p_province < 0.05 as integer)) as by_province
    from signed
    group by specification_id
),

estimates as (
    select * from {{ ref('rpt_coefficients') }}
    where term = regressor
),

sampled as (
    select
        samples.specification_id,
        count(distinct cities.province_id) as provinces
    from {{ ref('estimation_samples') }} as samples
    inner join {{ ref('dim_city') }} as cities using (city_id)
    group by samples.specification_id
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
            when judged.passes_doubtful then 'passes'
            when not judged.passes_doubtful then 'fails'
            when not judged.lacks_doubtful then 'cannot_tell'
            else 'not_made'
        end as doubtful_state,
        case when counted.unjudged > 0 then 'some' else 'none' end as unjudged_state,
        {%- for language, not_made, reason in [('en', 'not_made', 'reason'), ('zh', 'not_made_zh', 'reason_zh')] %}
        map {
            'failing': judged.failing_{{ language }},
            'not_made': headline.{{ not_made }},
            'reason': own.{{ reason }},
            'doubtful': judged.doubtful_{{ language }},
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
            'printed_outside': case when not headline.contains_printed then printf('%.3f', headline.printed_value) end,
            'rows': format('{:,}', own.observation_count),
            'cities': cast(own.city_count as varchar),
            'provinces': cast(sampled.provinces as varchar),
            'first_year': cast(own.sample_first_year as varchar),
            'last_year': cast(own.sample_last_year as varchar),
            'error_city': printf('%.3f', own.std_error),
            'error_province': printf('%.3f', own.std_error_province),
            'next_year_rows': next_years.next_year_rows,
            {%- for name in ['next_year', 'next_beside', 'present_beside', 'next_alone', 'present_alone'] %}
            '{{ name }}': printf('%.3f', next_years.{{ name }}),
            {%- endfor %}
            'p_next_year': {{ p_text('next_years.p_next_year') }},
            {%- for name in ['level', 'resident'] %}
            '{{ name }}': printf('%.3f', {{ name }}.estimate),
            '{{ name }}_city': printf('%.3f', {{ name }}.std_error),
            '{{ name }}_province': printf('%.3f', {{ name }}.std_error_province),
            {%- endfor %}
            'resident_rows': format('{:,}', resident.observation_count),
            'resident_last_year': cast(resident.sample_last_year as varchar),
            'permuted': printf('%.3f', permuted.permuted),
            'p_permuted': {{ p_text('judged.p_permuted') }},
            'share': format('{:.2g} %', 100 * judged.share),
            'share_20': format('{:.0f} %', 100 * concentrated.share_20),
            'detectable': format('{:.2g}', judged.detectable),
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
    left join estimates as own using (specification_id)
    left join sampled using (specification_id)
    {%- for name, reading in [('level', 'level'), ('resident', 'resident population')] %}
    left join estimates as {{ name }}
        on
            headline.table_id = {{ name }}.table_id
            and headline.column_number = {{ name }}.column_number
            and {{ name }}.reading = '{{ reading }}'
    {%- endfor %}
    cross join counted
),

chosen as (
    select
        unnest({{ findings }}) as finding,
        unnest([
            claim_state, 'estimated', ai_state, next_year_state, doubtful_state, 'read', 'registered', unjudged_state
        ]) as state,
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
    -- Without an estimate there is nothing to ask of.
    where
        chosen.finding in ('claim', 'unjudged')
        or (
            chosen.is_estimated
            and (chosen.finding <> 'unit' or chosen.figures['level'] is not null)
            and (chosen.finding <> 'population' or chosen.figures['resident'] is not null)
        )
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
