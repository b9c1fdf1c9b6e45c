-- name: tables
select distinct
    c.table_id,
    l.label_en
from reports.rpt_table_cells as c
inner join marts.dim_labels as l on l.kind = 'table' and c.table_id = l.name
order by c.table_id;

-- name: cells
select
    c.*,
    s.error_en,
    s.error_zh,
    rtrim(d.description_en, '.') as heading_en,
    d.description_zh as heading_zh
from reports.rpt_table_cells as c
inner join reports.rpt_specifications as s on c.specification_id = s.specification_id
inner join marts.data_dictionary as d
    on
        d.table_name = concat('rpt_', c.table_id)
        and d.column_name = concat('column_', c.column_number)
order by c.table_id, c.column_number, c.specification_order, c.line_number;
