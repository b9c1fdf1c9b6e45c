{#
Assign a city_id to each delivered record, and a reason if it is set aside.

A known code takes precedence over the name. A name that two units share requires the province, and a name with the
province of another city does not match. Codes and names are only valid in certain years.

Records of entities in `counted_entities` may use the code of a merged city in any year, as registers do, and may be
delivered by county, to be summed. The county record of a yearbook covers only a part of the city and is not used.

Records that are no longer valid, because they were superseded or withdrawn with their file, are set aside for that
reason before all others. A row identical to an earlier row of its source is a duplicate; a row with the same key and
other values is not. A row of corrections.csv can declare which of such contradicting records is right, or that none is.
Without one, the gate judges them.
#}
{%- set key = 'entity, provider, source_name, city_id, year, industry_code, patent_type' %}
{%- set sources = [] %}
{%- for entity, providers in var('providers').items() %}
{%- for provider in providers %}{% do sources.append((entity, provider)) %}{% endfor %}
{%- endfor %}
with

-- An empty relation with all typed columns, so that a column exists even if no provider delivers it.
undelivered as (
    select
        {%- for column in model.columns.values() if column.data_type %}
        cast(null as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        cast(null as varchar) as entity
    where false
),

-- Records of all providers. Columns that a provider does not deliver are null.
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
        -- Unpack only the fields of `origin` that this model uses in keys; fct_delivered_values unpacks the others.
        origin.provider,
        origin.source_name,
        nullif(city_code, '') as city_code,
        nullif(city_name, '') as city_name,
        list_contains({{ var('counted_entities') }}, entity) as is_counted,
        {{ city_code_of('city_code') }} as code_key,
        {{ city_name_of('city_name') }} as name_key
    from records
),

-- Sources that report by industry. In such a source, a record without an industry is faulty.
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
            -- After a merger, a record may combine the old city's code with the new city's name, so different cities
            -- are an error only while the code is valid.
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
            -- The first two characters identify a province, even if only its short name is given.
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

-- Add a hash of the key. Few records share a key, and only these records are compared below. A hash collision merely
-- adds a few comparisons.
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

-- Contradicting records with their correction, if any. A `keep_record` correction identifies the correct record by the
-- value of one series.
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
