-- A correction of a provider that delivered here must change a value.
select corrections.*
from {{ ref('corrections') }} as corrections
where
    corrections.provider in (select d.provider from {{ ref('raw_deliveries') }} as d)
    and corrections.correction_id not in (
        select s.correction_id from {{ ref('int_series_corrected') }} as s
        where s.correction_id is not null
    )
