with

credibility as (
    select * from {{ ref('rpt_credibility') }}
),

verdicts as (
    select * from {{ ref('verdicts') }}
),

final as (
    select
        credibility.extract_set,
        credibility.table_id,
        credibility.column_number,
        credibility.specification_id,
        credibility.printed_value,
        credibility.estimate,
        credibility.verdict,
        verdicts.label_en as verdict_en,
        verdicts.label_zh as verdict_zh,
        verdicts.meaning,
        verdicts.meaning_zh,
        count(case when credibility.passes then 1 end) as passed_count,
        count(case when not credibility.passes then 1 end) as failed_count,
        count(case when credibility.passes is null then 1 end) as not_made_count,
        credibility.substitutions,
        credibility.substitutions_zh
    from credibility
    inner join verdicts on credibility.verdict = verdicts.verdict
    group by all
)

select * from final
order by table_id, column_number
