-- One row per claim of the paper. The verdicts of a claim's research designs are combined into one answer, by the rule
-- in docs/decisions/designs.md.
with

design_verdicts as (
    select
        *,
        verdict in ('not_found', 'opposite_sign') as is_against
    from {{ ref('rpt_verdicts') }}
),

words as (
    select * from {{ ref('verdicts') }}
),

claims as (
    select
        extract_set,
        table_id,
        column_number,
        min_by(specification_id, design_order) as specification_id,
        min_by(cause, design_order) as printed_cause,
        count(case when question = 'association' and verdict = 'holds' then 1 end) as hold_count,
        count(case when question = 'association' and verdict = 'fails_check' then 1 end) as failing_count,
        count(case when question = 'association' and fails_shared then 1 end) as failing_shared_count,
        count(case when question = 'association' and is_against then 1 end) as against_count,
        count(case when question = 'association' and verdict = 'not_found' then 1 end) as not_found_count,
        count(case when question = 'ai' and verdict = 'holds' then 1 end) as ai_hold_count,
        count(case when question = 'ai' and is_against then 1 end) as ai_against_count,
        count(case when question = 'ai' and cause is distinct from 'no_data' then 1 end) as ai_estimated_count
    from design_verdicts
    group by extract_set, table_id, column_number
),

judged as (
    select
        *,
        case
            when hold_count > 0 and failing_count + failing_shared_count + against_count = 0 then 'holds'
            when hold_count + failing_count > 0 and against_count > 0 then 'depends'
            when hold_count + failing_count > 0 then 'fails_check'
            when not_found_count > 0 then 'not_found'
            when against_count > 0 then 'opposite_sign'
            else 'cannot_tell'
        end as association,
        -- Answer to whether AI explains the association. Without agreement among all estimable designs that test this,
        -- the answer is cannot_tell.
        case
            when ai_estimated_count = 0 then null
            when ai_hold_count = ai_estimated_count then 'yes'
            when ai_against_count = ai_estimated_count then 'no'
            else 'cannot_tell'
        end as ai
    from claims
),

final as (
    select
        judged.extract_set,
        judged.table_id,
        judged.column_number,
        judged.specification_id,
        judged.association,
        case when judged.association = 'cannot_tell' then judged.printed_cause end as cause,
        judged.ai,
        of_association.label_en as association_en,
        of_association.label_zh as association_zh,
        of_ai.label_en as ai_en,
        of_ai.label_zh as ai_zh,
        of_ai.meaning as ai_meaning,
        of_ai.meaning_zh as ai_meaning_zh
    from judged
    inner join words as of_association
        on
            of_association.question = 'association'
            and judged.association = of_association.verdict
    left join words as of_ai
        on
            of_ai.question = 'ai'
            and judged.ai = of_ai.verdict
)

select * from final
order by table_id, column_number
