with

industries as (
    select * from {{ ref('industries') }}
),

{{ conform_cities(
    'firm_survival',
    key='city_id, year, industry_code',
    unusable="case
                    when industry_code not in (select industry_code from industries) then 'unknown industry'
                    when
                        industry_code is null and (provider, source_name) in (
                            select (provider, source_name) from delivered where industry_code is not null
                        )
                        then 'unknown industry'
                end"
) }}

select * from final
