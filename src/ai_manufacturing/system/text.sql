-- name: names
select
    name,
    label_en,
    label_zh
from marts.dim_labels
where kind not in ('series', 'fact', 'text')
order by list_position(['term', 'column', 'measure'], kind);
