{{ config(materialized='ephemeral') }}

with

city_codes as (
    select
        identifier as city_code,
        -- Registers use current boundaries, so a code of a former city is mapped to its current city.
        current_city_id as city_id
    from {{ ref('int_city_identifiers') }}
    where identifier_kind = 'code'
),

others as (
    select distinct identifier as city_code
    from {{ ref('non_prefectures') }}
    where identifier_kind = 'code'
),

dissolved as (
    select distinct from_city_id as city_id
    from {{ ref('city_changes') }}
    where kind = 'split'
),

-- Registers contain codes from earlier years, so a code is accepted in every year.
final as (
    select
        city_codes.city_code,
        city_codes.city_id,
        case when dissolved.city_id is not null then 'dissolved city, not allocated' end as set_aside_reason
    from city_codes
    left join dissolved on city_codes.city_id = dissolved.city_id
    where city_codes.city_code not in (select others.city_code from others)
    union all
    select
        others.city_code,
        city_codes.city_id,
        'known non-prefecture' as set_aside_reason
    from others
    left join city_codes on others.city_code = city_codes.city_code
    union all
    select
        '' as city_code,
        cast(null as {{ dbt.type_string() }}) as city_id,
        'no city' as set_aside_reason
)

select * from final
