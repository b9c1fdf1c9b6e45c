-- name: entries
select
    'verdict' as kind,
    v.specification_id as name,
    concat_ws(
        '; ',
        concat('effect', ' of ' || regressor_label_en, ' on ', outcome_label_en),
        'design ' || v.design_en, verdict_en,
        'estimate ' || v.estimate || ' (' || error_province_en || ' ' || v.std_error || ')',
        'printed ' || round(v.printed_value, 6), v.meaning,
        if(v.substitutions <> '', '† substitutes', null)
    ) as en,
    concat_ws(
        '；',
        concat(regressor_label_zh || '对', outcome_label_zh, '的影响（效应）'),
        '设计：' || v.design_zh, verdict_zh,
        '估计值' || v.estimate || '（' || error_province_zh || ' ' || v.std_error || '）',
        '论文' || round(v.printed_value, 6),
        v.meaning_zh, if(v.substitutions <> '', '†替代', null)
    ) as zh,
    row_number() over (order by v.design_order, v.table_id, v.column_number) as place
from reports.rpt_verdicts as v
inner join reports.rpt_specifications using (specification_id)
union all
select
    'finding',
    concat(finding, ' (', specification_id, ')'),
    concat(question_en, ' ', sentence),
    concat(question_zh, sentence_zh),
    finding_order
from reports.rpt_findings
union all
select
    'question',
    question,
    regexp_extract(answer, '`[^`]+`$'),
    regexp_extract(answer, '`[^`]+`$'),
    0
from release.questions
union all
select
    'table',
    concat(schema_name, '.', table_name),
    regexp_extract(comment, '(One row[^\n]*?)(\.( |\n|$)|\n|$)', 1),
    '',
    0
from duckdb_tables()
where
    database_name = current_database()
    and schema_name in ('marts', 'gates', 'estimates', 'reports', 'release')
union all
select
    'column',
    concat_ws('.', table_schema, table_name, column_name),
    concat_ws('; ', unit, label_en, '† ' || substitution),
    concat_ws('；', unit, label_zh),
    0
from marts.data_dictionary
union all
select
    'series',
    series,
    concat_ws('; ', scope, unit, label_en, provider, absence_reason, '† ' || substitution),
    concat_ws('；', scope, unit, label_zh, provider),
    0
from marts.dim_series;
