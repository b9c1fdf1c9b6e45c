-- Return corrections without effect. A correction must change a value, or decide between contradicting records, if its
-- source delivered to this extract set and its year is in the period. A correction of an undeclared source always
-- fails. A correction for a year that its source has not delivered yet is ignored.
select corrections.*
from {{ ref('corrections') }} as corrections
where
    exists (
        select 1 from {{ ref('raw_deliveries') }} as d
        where
            corrections.provider = d.provider
            and (
                corrections.source_name in (d.source_name, '*')
                or (corrections.provider, corrections.source_name) not in (
                    select (s.provider, s.source_name) from {{ ref('raw_declared_sources') }} as s
                )
            )
    )
    and (
        corrections.year = '*'
        or cast(corrections.year as integer) between {{ period('first_year') }} and {{ period('last_year') }}
    )
    and (
        corrections.year = '*'
        or corrections.source_name not in (select c.source_name from {{ ref('int_series_corrected') }} as c)
        or exists (
            select 1 from {{ ref('int_series_corrected') }} as c
            where
                corrections.provider = c.provider
                and corrections.source_name in (c.source_name, '*')
                and corrections.year = cast(c.year as varchar)
        )
    )
    and corrections.correction_id not in (
        select s.correction_id from {{ ref('int_series_corrected') }} as s
        where s.correction_id is not null
    )
    and corrections.correction_id not in (
        select c.correction_id from {{ ref('int_records_conformed') }} as c
        where c.correction_id is not null
    )
