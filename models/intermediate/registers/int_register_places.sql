with

-- Distinct places of all registers, so that a place is resolved once rather than once per row.
delivered as (
    select distinct coalesce(city_code, '') as city_code
    from {{ ref('int_register_cohorts') }}
),

-- One row per place and rule. Earlier rules take precedence, so their position is included. A register without declared
-- rules only delivers a city code.
rules as (
    select
        city_code,
        'code' as rule,
        {{ city_code_of('city_code') }} as code,
        cast(null as {{ dbt.type_string() }}) as province,
        cast(null as {{ dbt.type_string() }}) as name,
        1 as place
    from delivered
    where instr(city_code, '=') = 0
    {%- for rule in ['code', 'credit_code'] %}
    union all
    select
        city_code,
        '{{ rule }}' as rule,
        {{ city_code_of("regexp_extract(city_code, '(^|/)" ~ rule ~ "=([^/]*)', 2)") }} as code,
        null as province,
        null as name,
        instr(concat('/', city_code), '/{{ rule }}=') as place
    from delivered
    where instr(concat('/', city_code), '/{{ rule }}=') > 0
    {%- endfor %}
    union all
    select
        city_code,
        'name' as rule,
        null as code,
        regexp_extract(city_code, '(^|/)name=([^|]*)[|]([^/]*)', 2) as province,
        {%- set name = "regexp_extract(city_code, '(^|/)name=([^|]*)[|]([^/]*)', 3)" %}
        {{ replace_all(name, '[ \u3000\u00a0\t]', '') }} as name,
        instr(concat('/', city_code), '/name=') as place
    from delivered
    where instr(concat('/', city_code), '/name=') > 0
),

cities as (
    select * from {{ ref('cities') }}
),

-- City of each name and province. The province is required, because a district may share its name with a city: 朝阳 is a
-- city in Liaoning and a district of Beijing. The first two characters identify a province, even if only its short name
-- is given.
names as (
    select
        identifier as name,
        substring(province_name_zh, 1, 2) as province_key,
        min(current_city_id) as city_id
    from {{ ref('int_city_identifiers') }}
    where identifier_kind = 'name'
    group by identifier, substring(province_name_zh, 1, 2)
    having count(distinct current_city_id) = 1
),

-- Municipalities by province. Every place in a municipality belongs to the municipality.
municipalities as (
    select
        city_id,
        substring(province_name_zh, 1, 2) as province_key
    from cities
    where unit_kind = 'municipality'
),

other_names as (
    select distinct identifier as name
    from {{ ref('non_prefectures') }}
    where
        identifier_kind = 'name'
        and kind <> 'shared name'
),

answers as (
    select
        rules.city_code,
        rules.rule,
        rules.place,
        coalesce(offices.city_id, codes.city_id, names.city_id, municipalities.city_id) as city_id,
        case
            when offices.city_id is not null then null
            when rules.rule <> 'name' and codes.city_code is null then 'unknown city'
            when rules.rule <> 'name' then codes.set_aside_reason
            when coalesce(names.city_id, municipalities.city_id) is not null then null
            when other_names.name is not null then 'known non-prefecture'
            else 'unknown city'
        end as set_aside_reason
    from rules
    -- A registration office may still use a code that now belongs to another county.
    left join {{ ref('city_aliases') }} as offices
        on
            rules.rule = 'credit_code'
            and offices.identifier_kind = 'office'
            and rules.code = offices.identifier
    left join {{ ref('int_register_cities') }} as codes on rules.code = codes.city_code
    left join names
        on
            rules.name = names.name
            and substring(rules.province, 1, 2) = names.province_key
    left join municipalities on substring(rules.province, 1, 2) = municipalities.province_key
    left join other_names on rules.name = other_names.name
),

-- Rank the results of a place's rules. The first rule that finds a city takes precedence, followed by the first rule
-- with a more specific reason than 'unknown city'.
ranked as (
    select
        *,
        row_number() over (
            partition by city_code
            order by
                case when set_aside_reason is null then 0 when set_aside_reason = 'unknown city' then 2 else 1 end asc,
                place asc
        ) as answer_order
    from answers
),

known as (
    select
        city_code,
        max(case when rule <> 'name' and set_aside_reason is null then city_id end) as code_city_id,
        max(case when rule = 'name' and set_aside_reason is null then city_id end) as name_city_id
    from answers
    group by city_code
),

final as (
    select
        delivered.city_code,
        ranked.city_id,
        ranked.rule,
        known.code_city_id,
        known.name_city_id,
        case when ranked.city_code is null then 'no city' else ranked.set_aside_reason end as set_aside_reason
    from delivered
    left join ranked
        on
            delivered.city_code = ranked.city_code
            and ranked.answer_order = 1
    left join known on delivered.city_code = known.city_code
)

select * from final
