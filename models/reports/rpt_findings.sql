{%- set findings = ['claim', 'ai', 'cause', 'doubtful', 'unit', 'unjudged'] -%}
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

designs as (
    select * from {{ ref('claim_designs') }}
),

claims as (
    select * from {{ ref('rpt_claims') }}
),

-- The paper's main claim, which belongs to the first specification in regression_specifications.csv.
headline as (
    select claims.*
    from claims
    inner join {{ ref('regression_specifications') }} as specifications using (specification_id)
    order by specifications.specification_order
    limit 1
),

-- Verdict on the main claim by research design, ranked so that designs in which the claim holds come first. The first
-- design is used to answer the other questions.
judged as (
    select
        verdicts.*,
        designs.phrase_en,
        designs.phrase_zh,
        row_number() over (
            order by verdicts.question <> 'association', verdicts.verdict <> 'holds', verdicts.design_order
        ) as place
    from {{ ref('rpt_verdicts') }} as verdicts
    inner join headline using (table_id, column_number)
    inner join designs using (design)
),

compared as (
    select
        {%- for language, comma in [('en', ' and '), ('zh', '与')] %}
        string_agg(phrase_{{ language }}, '{{ comma }}' order by place)
        filter (where verdict = 'holds') as holding_{{ language }},
        {%- for name, condition in [('rest', "verdict <> 'holds'"), ('each', 'true')] %}
        string_agg(
            upper(phrase_{{ language }}[1]) || phrase_{{ language }}[2:] || '{{ ': ' if language == 'en' else '：' }}'
            || regexp_replace(verdict_{{ language }}, ':|：', '{{ ',' if language == 'en' else '，' }}'),
            '{{ '; ' if language == 'en' else '；' }}'
            order by place
        ) filter (where {{ condition }}) as {{ name }}_{{ language }},
        {%- endfor %}
        {%- endfor %}
        max(estimate) filter (where design = 'ai_beside_all') as ai_estimate,
        max(std_error) filter (where design = 'ai_beside_all') as ai_error,
        max(detectable) filter (where design = 'ai_beside_all') as ai_detectable,
        max(estimate) filter (where design = 'ai_instrumented') as iv_estimate,
        max(std_error) filter (where design = 'ai_instrumented') as iv_error
    from judged
    where
        question = 'ai'
        or phrase_en is not null
),

-- Estimates and robustness checks of the first-ranked research design, for the report's other questions.
asked as (
    select
        judged.specification_id as asked_specification_id,
        judged.phrase_en,
        judged.phrase_zh,
        judged.printed_value,
        judged.estimate,
        judged.conf_low,
        judged.conf_high,
        judged.failed as failed_en,
        judged.failed_zh,
        coefficients.reason,
        coefficients.reason_zh,
        trends.estimate_without as trend,
        trends.std_error_without as trend_error,
        later.estimate as later,
        later.std_error as later_error,
        flagged.passes as passes_doubtful,
        flagged.figure is null as lacks_doubtful,
        {%- for language, sentence in [('en', 'sentence'), ('zh', 'sentence_zh')] %}
        regexp_replace(flagged.{{ sentence }}, '^(Not made[.] |未进行。)', '') as doubtful_{{ language }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from judged
    left join {{ ref('rpt_coefficients') }} as coefficients
        on
            judged.specification_id = coefficients.specification_id
            and coefficients.term = coefficients.regressor
    left join {{ ref('est_influence') }} as trends
        on
            judged.specification_id = trends.specification_id
            and coefficients.term = trends.term
            and trends.method = 'with_city_trends'
    left join {{ ref('est_inference') }} as later
        on
            judged.specification_id = later.specification_id
            and later.method = 'later_instead'
            and later.setting = 'years=3'
            and later.term = coefficients.term || '_later'
    left join {{ ref('rpt_credibility') }} as flagged
        on
            judged.specification_id = flagged.specification_id
            and flagged.check_id = 'without_flagged'
    where judged.place = 1
),

levels as (
    select * from {{ ref('rpt_coefficients') }}
    where
        term = regressor
        and reading = 'level'
),

-- Number of columns in the paper's tables, by the reason why no verdict was reached under the paper's design.
counted as (
    select
        {%- for name, causes in [
            ('no_data', "'no_data'"), ('partial', "'part_of_years'"), ('imprecise', "'imprecise', 'family'"),
            ('unsound', "'unsound'"), ('unmade', "'not_made'"), ('mechanical', "'mechanical'")
        ] %}
        count(case when claims.cause in ({{ causes }}) then 1 end) as {{ name }},
        {%- endfor %}
        count(*) as printed_columns,
        count(case when claims.association = 'cannot_tell' then 1 end) as unjudged
    from claims
),

stated as (
    select
        headline.specification_id,
        of_claim.substitutions,
        of_claim.substitutions_zh,
        coalesce(headline.cause, '') <> 'no_data' as is_estimated,
        case
            when headline.cause in ('no_data', 'part_of_years', 'mechanical') then headline.cause
            else headline.association
        end as claim_state,
        coalesce(headline.ai, 'no_data') as ai_state,
        case
            when asked.passes_doubtful then 'passes'
            when not asked.passes_doubtful then 'fails'
            when not asked.lacks_doubtful then 'cannot_tell'
            else 'not_made'
        end as doubtful_state,
        case when counted.unjudged > 0 then 'some' else 'none' end as unjudged_state,
        {%- for language, reason in [('en', 'reason'), ('zh', 'reason_zh')] %}
        map {
            'holding': compared.holding_{{ language }},
            'rest': compared.rest_{{ language }},
            'each': compared.each_{{ language }},
            'ai_says': upper(headline.ai_{{ language }}[1]) || headline.ai_{{ language }}[2:],
            'reason': asked.{{ reason }},
            'failed': asked.failed_{{ language }},
            'design': upper(asked.phrase_{{ language }}[1]) || asked.phrase_{{ language }}[2:],
            'doubtful': asked.doubtful_{{ language }}
        } as words_{{ language }},
        {%- endfor %}
        -- Format the numbers for use in sentences.
        map {
            'printed': printf('%.3f', asked.printed_value),
            'estimate': printf('%.3f', asked.estimate),
            'low': printf('%.3f', asked.conf_low),
            'high': printf('%.3f', asked.conf_high),
            {%- for name in ['ai_estimate', 'ai_error', 'ai_detectable', 'iv_estimate', 'iv_error'] %}
            '{{ name }}': printf('%.3f', compared.{{ name }}),
            {%- endfor %}
            {%- for name in ['trend', 'trend_error', 'later', 'later_error'] %}
            '{{ name }}': printf('%.3f', asked.{{ name }}),
            {%- endfor %}
            'level': printf('%.3f', levels.estimate),
            'level_city': printf('%.3f', levels.std_error),
            'level_province': printf('%.3f', levels.std_error_province),
            {%- for name in ['no_data', 'partial', 'imprecise', 'unsound', 'unmade', 'mechanical'] %}
            '{{ name }}': cast(nullif(counted.{{ name }}, 0) as varchar),
            {%- endfor %}
            'printed_columns': cast(counted.printed_columns as varchar),
            'unjudged': cast(counted.unjudged as varchar)
        } as figures
    from headline
    inner join judged as of_claim using (specification_id)
    cross join compared
    cross join asked
    left join levels
        on
            headline.table_id = levels.table_id
            and headline.column_number = levels.column_number
    cross join counted
),

chosen as (
    select
        unnest({{ findings }}) as finding,
        unnest([claim_state, ai_state, 'read', doubtful_state, 'read', unjudged_state]) as state,
        *
    from stated
),

worded as (
    select
        chosen.*,
        {%- for language in ['en', 'zh'] %}
        {%- set values = 'map_concat(chosen.figures, chosen.words_' ~ language ~ ')' %}
        {{ complete_sentences(replaced('sentences.sentence_' ~ language, values)) }} as sentence_{{ language }},
        {%- endfor %}
        questions.question_en,
        questions.question_zh,
        questions.finding_order
    from chosen
    inner join questions using (finding)
    inner join sentences using (finding, state)
    -- Questions other than 'claim' and 'unjudged' are answered only if there is an estimate.
    where
        chosen.finding in ('claim', 'unjudged')
        or (
            chosen.is_estimated
            and (chosen.finding <> 'unit' or chosen.figures['level'] is not null)
        )
),

final as (
    select
        {{ extract_set() }} as extract_set,
        finding,
        finding_order,
        specification_id,
        state,
        question_en,
        question_zh,
        sentence_en as sentence,
        sentence_zh,
        substitutions,
        substitutions_zh
    from worded
)

select * from final
order by finding_order
