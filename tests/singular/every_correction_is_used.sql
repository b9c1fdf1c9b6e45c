-- A correction of a provider that delivered here must change a value, if its year is in the period.
select corrections.*
from {{ ref('corrections') }} as corrections
where
    corrections.provider in (select d.provider from {{ ref('raw_deliveries') }} as d)
    and corrections.year between {{ period('first_year') }} and {{ period('last_year') }}
    and corrections.correction_id not in (
        select s.correction_id from {{ ref('int_series_corrected') }} as s
        where s.correction_id is not null
    )
