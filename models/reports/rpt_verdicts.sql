with

checks as (
    select * from {{ ref('rpt_credibility') }}
),

verdicts as (
    select * from {{ ref('verdicts') }}
),

-- One row per claim. What was not made is null, and what is null lets no claim hold.
answered as (
    select
        * exclude (
            check_id, check_order, label_en, label_zh, aspect, figure, threshold, passes, sentence, sentence_zh
        ),
        bool_and(passes) filter (where aspect = 'zero') as excludes_zero,
        bool_and(passes) filter (where aspect = 'printed') as contains_printed,
        coalesce(bool_or(not passes) filter (where aspect = 'sound'), false) as is_unsound,
        coalesce(bool_or(not passes) filter (where aspect in ('required', 'stable')), false) as fails,
        bool_or(not passes) filter (where aspect = 'family') as fails_in_family,
        bool_or(passes is null) filter (where aspect = 'family') as lacks_family,
        string_agg(label_en, ', ' order by check_order)
        filter (where passes is null and aspect not in ('identified', 'ai', 'told')) as not_made,
        string_agg(label_zh, '、' order by check_order)
        filter (where passes is null and aspect not in ('identified', 'ai', 'told')) as not_made_zh,
        count(case when aspect = 'identified' then 1 end) > 0 as asks_of_ai,
        bool_and(passes) filter (where aspect = 'identified') as is_identified,
        bool_and(passes) filter (where aspect = 'ai') as is_ai,
        count(case when passes then 1 end) as passed_count,
        count(case when not passes then 1 end) as failed_count,
        count(case when passes is null then 1 end) as not_made_count
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
        end as cause,
        case
            when not asks_of_ai then null
            when not is_identified or is_identified is null or is_ai is null then 'cannot_tell'
            when is_ai then 'yes'
            else 'no'
        end as ai
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
        worded.* exclude (
            status, is_partial, is_unsound, fails, fails_in_family, lacks_family, asks_of_ai,  -- noqa: RF02
            is_identified, is_ai  -- noqa: RF02
        ),
        words.label_en as verdict_en,
        words.label_zh as verdict_zh,
        words.meaning,
        words.meaning_zh,
        words_of_ai.label_en as ai_en,
        words_of_ai.label_zh as ai_zh,
        words_of_ai.meaning as ai_meaning,
        words_of_ai.meaning_zh as ai_meaning_zh
    from worded
    inner join verdicts as words
        on
            words.question = 'claim'
            and worded.verdict = words.verdict
            and worded.cause is not distinct from words.cause
    left join verdicts as words_of_ai
        on
            words_of_ai.question = 'ai'
            and worded.ai = words_of_ai.verdict
)

select * from final
order by table_id, column_number
