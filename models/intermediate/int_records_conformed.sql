{#
Gives each delivered record its city_id, and a reason where it is set aside.

A code decides where it is known, a name otherwise; a name that two units share needs its province, and a province that
is another city's refuses the name. Either means a city in the years for which it does.
An entity that is counted (`counted_entities`) may have the code of a city that was merged away in any year, as registers
do, and may come by county, whose records are summed; a yearbook's county is a part of the city and not the city.
A record that is no longer valid is set aside first of all: as superseded by a delivery, or as withdrawn with its file.
A row that repeats an earlier one of its source to the letter is a duplicate; one that only shares its key is not. A row
of corrections.csv may say which of such records is right, or that none is; without it they are left to the gate.
#}
{%- set key = 'entity, provider, source_name, city_id, year, industry_code, patent_type' %}
{%- set sources = [] %}
{%- for entity, providers in var('providers').items() %}
{%- for provider in providers %}{% do sources.append((entity, provider)) %}{% endfor %}
{%- endfor %}
with

-- Columns with a type are there where nobody delivers them.
undelivered as (
    select
        {%- for column in model.columns.values() if column.data_type %}
        cast(null as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        cast(null as varchar) as entity
    where false
),

-- All providers' rows; a column that one does not deliver is null.
records as (
    select * from undelivered
    {%- for entity, provider in sources %}
    union all by name
    select
        '{{ entity }}' as entity,
        *
    from {{ ref('stg_' ~ provider ~ '__' ~ entity) }}
    {%- endfor %}
),

delivered as (
    select
        * exclude (city_code, city_name),
        -- Keys of what follows; the rest of its origin waits for fct_delivered_values.
        origin.provider,
        origin.source_name,
        nullif(city_code, '') as city_code,
        nullif(city_name, '') as city_name,
        list_contains({{ var('counted_entities') }}, entity) as is_counted,
        {{ city_code_of('city_code') }} as code_key,
        {{ city_name_of('city_name') }} as name_key
    from records
),

-- A source that counts by industry lacks one where a row has none.
by_industry as (
    select distinct row(entity, provider, source_name) as source
    from delivered
    where industry_code is not null
),

industries as (
    select * from {{ ref('industries') }}
),

dissolved as (
    select from_city_id as city_id
    from {{ ref('city_changes') }}
    where kind = 'split'
),

known_others as (
    select
        others.identifier_kind,
        case
            when others.identifier_kind = 'code' then others.identifier
            else {{ city_name_of('others.identifier') }}
        end as identifier,
        coalesce(others.first_year, 0) as first_year,
        coalesce(others.last_year, 9999) as last_year
    from {{ ref('non_prefectures') }} as others
    where others.kind <> 'shared name'
),

shared_names as (
    select
        identifier as name_zh,
        province_name_zh
    from {{ ref('non_prefectures') }}
    where kind = 'shared name'
),

resolved as (
    select
        delivered.*,
        coalesce(by_code.city_id, by_name.city_id) as city_id,
        case when by_code.is_county then by_code.identifier end as county_code,
        case
            when delivered.origin.valid_until_delivery is not null
                then {{ ended_as('delivered.origin.valid_until_delivery') }}
            when delivered.year is null then 'no year'
            when delivered.year not between {{ var('plausible_years')[0] }} and {{ var('plausible_years')[1] }}
                then 'implausible year'
            -- A count under an old code may name the city that it was merged into.
            when by_code.city_id <> by_name.city_id and delivered.year <= by_code.last_year
                then 'code and name are two cities'
            when
                coalesce(by_code.city_id, by_name.city_id) is null
                and (other_code.identifier is not null or other_name.identifier is not null)
                then 'known non-prefecture'
            when coalesce(by_code.city_id, by_name.city_id) is null and ambiguous.name_zh is not null
                then 'ambiguous city name'
            when nullif(delivered.code_key, '') is null and nullif(delivered.name_key, '') is null then 'no city'
            when coalesce(by_code.city_id, by_name.city_id) is null then 'unknown city'
            when delivered.year not between {{ period('first_year') }} and {{ period('last_year') }}
                then 'out of period'
            when coalesce(by_code.city_id, by_name.city_id) in (
                select dissolved.city_id from dissolved
            ) then 'dissolved city, not allocated'
            when
                delivered.industry_code is null
                and (delivered.entity, delivered.provider, delivered.source_name) in (
                    select by_industry.source from by_industry
                )
                then 'unknown industry'
            when
                delivered.industry_code is not null
                and delivered.industry_code not in (select industries.industry_code from industries)
                then 'unknown industry'
            when delivered.entity = 'patents' and delivered.patent_type is null then 'unknown patent type'
        end as unusable_reason
    from delivered
    left join {{ ref('int_city_identifiers') }} as by_code
        on
            by_code.identifier_kind = 'code'
            and delivered.code_key = by_code.identifier
            and delivered.year >= by_code.first_year
            and (delivered.is_counted or (delivered.year <= by_code.last_year and not by_code.is_county))
    left join shared_names as ambiguous
        on
            delivered.name_key = ambiguous.name_zh
            and delivered.province_name is distinct from ambiguous.province_name_zh
    left join {{ ref('int_city_identifiers') }} as by_name
        on
            by_name.identifier_kind = 'name'
            and delivered.name_key = by_name.identifier
            and delivered.year between by_name.first_year and by_name.last_year
            and ambiguous.name_zh is null
            -- The first two characters tell the provinces apart, in their short names too.
            and coalesce(left(delivered.province_name, 2) = left(by_name.province_name_zh, 2), true)
    left join known_others as other_code
        on
            other_code.identifier_kind = 'code'
            and delivered.code_key = other_code.identifier
            and delivered.year between other_code.first_year and other_code.last_year
    left join known_others as other_name
        on
            other_name.identifier_kind = 'name'
            and delivered.name_key = other_name.identifier
            and delivered.year between other_name.first_year and other_name.last_year
),

-- Few records share their key, and all that follows is about these: a collision of hashes only adds some to them.
keyed as (
    select
        *,
        hash({{ key }}) as key_hash
    from resolved
),

shared_keys as (
    select key_hash
    from keyed
    where unusable_reason is null
    group by key_hash
    having count(*) > 1
),

numbered as (
    select
        *,
        row_number() over (
            partition by
                {{ key }},
                hash(*columns(* exclude (origin)))
            order by origin.file_path, origin.sheet_name, origin.row_number
        ) as copy_number
    from keyed
    where unusable_reason is null and key_hash in (select shared_keys.key_hash from shared_keys)
),

contradicted as (
    select
        *,
        copy_number = 1
        and count(case when copy_number = 1 then 1 end) over (
            partition by {{ key }}, county_code
        ) > 1 as is_contradicted,
        to_json(numbered) as record
    from numbered
),

-- `keep_record` names a series and its value in the record that is right.
ruled as (
    select
        contradicted.*,
        corrections.correction_id,
        corrections.action,
        corrections.action = 'keep_record'
        and abs(
            cast(json_extract_string(contradicted.record, corrections.series) as double) - corrections.value
        ) <= 1e-9 * abs(corrections.value) as is_kept
    from contradicted
    left join {{ ref('corrections') }} as corrections
        on
            contradicted.is_contradicted
            and corrections.action in ('keep_record', 'set_records_aside')
            and contradicted.provider = corrections.provider
            and contradicted.source_name = corrections.source_name
            and corrections.city_id in (contradicted.city_id, '*')
            and corrections.year in (cast(contradicted.year as varchar), '*')
),

settled as (
    select
        *,
        bool_or(is_kept) over (partition by {{ key }}, county_code) as has_kept
    from ruled
),

decided as (
    select
        resolved.*,
        case
            when resolved.unusable_reason is not null then resolved.unusable_reason
            when settled.copy_number > 1 then 'duplicate row'
            when settled.action = 'set_records_aside' then 'contradicting records'
            when settled.has_kept and not settled.is_kept then 'contradicts the record kept'
        end as set_aside_reason,
        case when settled.action = 'set_records_aside' or settled.has_kept then settled.correction_id end
            as correction_id
    from resolved
    left join settled using (origin)
),

final as (
    select * exclude (is_counted, code_key, name_key, unusable_reason)
    from decided
)

select * from final
