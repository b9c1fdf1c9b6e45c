with

checks as (
    select * from {{ ref('rpt_credibility') }}
),

designs as (
    select * from {{ ref('claim_designs') }}
),

verdicts as (
    select * from {{ ref('verdicts') }}
),

-- One row per claim and research design, with the results of the checks. A check that was not run is null, which rules
-- out the verdict `holds`.
answered as (
    select
        * exclude (
            check_id, check_order, label_en, label_zh, aspect, figure, threshold, passes, sentence, sentence_zh,
            power_en, power_zh
        ),
        bool_and(passes) filter (where aspect = 'zero') as excludes_zero,
        bool_and(passes) filter (where aspect = 'printed') as contains_printed,
        coalesce(bool_or(not passes) filter (where aspect = 'sound'), false) as is_unsound,
        coalesce(bool_or(not passes) filter (where aspect in ('required', 'shared', 'stable')), false) as fails,
        coalesce(bool_or(not passes) filter (where aspect = 'shared'), false) as fails_shared,
        bool_or(not passes) filter (where aspect = 'family') as fails_in_family,
        bool_or(passes is null) filter (where aspect = 'family') as lacks_family,
        {%- for suffix, label, comma in [('', 'label_en', ', '), ('_zh', 'label_zh', '、')] %}
        string_agg({{ label }}, '{{ comma }}' order by check_order)
        filter (where not passes and aspect in ('required', 'shared', 'stable')) as failed{{ suffix }},
        string_agg({{ label }}, '{{ comma }}' order by check_order)
        filter (where passes is null and aspect <> 'told') as not_made{{ suffix }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from checks
    group by all
),

judged as (
    select
        *,
        case
            when status = 'not_estimable' then 'no_data'
            when is_partial then 'part_of_years'
            when status = 'mechanical' then 'mechanical'
            when is_unsound then 'unsound'
            when excludes_zero is null or contains_printed is null then 'not_made'
            when not excludes_zero and contains_printed then 'imprecise'
            when excludes_zero and fails_in_family then 'family'
            when excludes_zero and (lacks_family or not fails) and not_made is not null then 'not_made'
        end as cause
    from answered
),

worded as (
    select
        *,
        case
            when cause is not null then 'cannot_tell'
            when not excludes_zero then 'not_found'
            when fails then 'fails_check'
            when sign(estimate) <> sign(printed_value) then 'opposite_sign'
            else 'holds'
        end as verdict
    from judged
),

final as (
    select
        worded.* exclude (status, is_partial, is_unsound, fails, fails_in_family, lacks_family),  -- noqa: RF02
        designs.question,
        designs.label_en as design_en,
        designs.label_zh as design_zh,
        designs.reason_en as design_reason,
        designs.reason_zh as design_reason_zh,
        designs.declared_on,
        words.label_en as verdict_en,
        words.label_zh as verdict_zh,
        words.meaning,
        words.meaning_zh
    from worded
    inner join designs using (design)
    inner join verdicts as words
        on
            words.question = 'design'
            and worded.verdict = words.verdict
            and worded.cause is not distinct from words.cause
)

select * from final
order by table_id, column_number, design_order
