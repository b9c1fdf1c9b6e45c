with

industries as (
    select * from {{ ref('industries') }}
),

{{ conform_cities(
    'patents',
    key='city_id, year, industry_code, patent_type',
    unusable="case
                    when
                        industry_code is null or industry_code not in (select industry_code from industries)
                        then 'unknown industry'
                    when patent_type is null then 'unknown patent type'
                end"
) }}

select * from final
