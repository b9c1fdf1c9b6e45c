-- name: verdicts
select
    made.specification_id,
    coalesce(own.design_order = 1, false),
    if(own.design is null, 'of its column as it reads: ', '')
    || concat_ws(
        '; ', judged.verdict_en, 'all designs: ' || claims.association_en, claims.ai_en,
        judged.meaning, 'design: ' || judged.design_en
    )
from reports.rpt_specifications as made
inner join reports.rpt_claims as claims using (table_id, column_number)
left join reports.rpt_verdicts as own on made.specification_id = own.specification_id
inner join reports.rpt_verdicts as judged
    on coalesce(own.specification_id, claims.specification_id) = judged.specification_id
order by all;
