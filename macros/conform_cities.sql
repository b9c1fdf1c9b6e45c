{#
The six-digit code in a delivered one, to look up in int_city_identifiers: blanks are no part of it, and the statistical
code of a town (9 digits) or village (12) begins with its county's.
#}
{% macro city_code_of(code) -%}
    {%- set plain -%} {{ replace_all(code, '[ \u3000\u00a0\t]', '') }} {%- endset -%}
    case when length({{ plain }}) in (9, 12) then substring({{ plain }}, 1, 6) else {{ plain }} end
{%- endmacro %}

{#
A delivered name as int_city_identifiers writes it. Blanks are no part of a name, inside it either, nor are marks of a
footnote after it, nor what name_additions.csv lists in brackets. Other words in brackets stay, a district's above all,
so that the name is no city's.
#}
{% macro city_name_of(name) -%}
    {{ adapter.dispatch('city_name_of')(name) }}
{%- endmacro %}

{% macro default__city_name_of(name) -%}
    {%- set plain -%}
        translate({{ replace_all(name, '[\\s\\p{Z}\\p{Cf}]', '') }}, '（）［］[]【】〔〕', '()()()()()')
    {%- endset -%}
    {%- set unmarked -%}
        {{ replace_all(plain, '([*＊※#†‡①-⑳⁰¹²³⁴-⁹]|注?[0-9]+[)]?|[(]注?[0-9]+[)])+$', '') }}
    {%- endset -%}
    case
        when {{ unmarked }} like '%(%' then regexp_replace(
            {{ unmarked }},
            (select '[(](' || string_agg(additions.pattern, '|') || ')[)]' from {{ ref('name_additions') }} as additions),
            '',
            'g'
        )
        else {{ unmarked }}
    end
{%- endmacro %}

{#
Give each delivered row its city_id, and a reason where it is set aside.

A code decides where it is known, a name otherwise; a name that two units share needs its province, and a province that
is another city's refuses the name. Either means a city in the years for which it does.
`unusable` is an entity's own reason, as an expression. An entity that is counted (`counted_entities`) may keep the code
of a city that was merged away in any year, as registers do, and may come by county, whose records are summed; a
yearbook's county is a part of the city and not the city.
A record that is no longer valid is set aside first of all: as superseded by a delivery, or as withdrawn with its file.
A row that repeats an earlier one of its source to the letter is a duplicate; one that only shares its key is not. A row
of corrections.csv may say which of such records is right, or that none is; without it they are left to the gate.
#}
{% macro conform_cities(entity, key, unusable='null') -%}
{%- set is_count = entity in var('counted_entities') -%}
    delivered as (
        select
            * exclude (city_code, city_name),
            -- Keys of what follows; the rest of its origin waits for fct_delivered_values.
            origin.provider,
            origin.source_name,
            nullif(city_code, '') as city_code,
            nullif(city_name, '') as city_name,
            {{ city_code_of('city_code') }} as code_key,
            {{ city_name_of('city_name') }} as name_key
        from {{ ref('int_' ~ entity ~ '_delivered') }}
    ),

    successors as (
        select deliveries.delivery_number as successor_number
        from {{ ref('raw_deliveries') }} as deliveries
    ),

    known_others as (
        select
            others.identifier_kind,
            case when others.identifier_kind = 'code' then others.identifier else {{ city_name_of('others.identifier') }} end
                as identifier,
            coalesce(others.first_year, 0) as first_year,
            coalesce(others.last_year, 9999) as last_year
        from {{ ref('non_prefectures') }} as others
    ),

    resolved as (
        select
            delivered.* exclude (code_key, name_key),
            coalesce(by_code.city_id, by_name.city_id) as city_id,
            case when by_code.is_county then by_code.identifier end as county_code,
            case
                when delivered.origin.valid_until_delivery is not null and successors.successor_number is null then 'withdrawn'
                when delivered.origin.valid_until_delivery is not null then 'superseded'
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
                    select changes.from_city_id from {{ ref('city_changes') }} as changes where changes.kind = 'split'
                ) then 'dissolved city, not allocated'
                else {{ unusable }}
            end as unusable_reason
        from delivered
        left join successors on delivered.origin.valid_until_delivery = successors.successor_number
        left join {{ ref('int_city_identifiers') }} as by_code
            on
                by_code.identifier_kind = 'code'
                and delivered.code_key = by_code.identifier
                and delivered.year between by_code.first_year and {{ 'delivered.year' if is_count else 'by_code.last_year' }}
                {%- if not is_count %}
                and not by_code.is_county
                {%- endif %}
        left join {{ ref('ambiguous_names') }} as ambiguous
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
            hash(provider, source_name, {{ key }}) as key_hash
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
                    provider, source_name, {{ key }},
                    hash(*columns(* exclude (origin)))
                order by origin.file_path, origin.sheet_name, origin.row_number
            ) as copy_number
        from keyed
        where unusable_reason is null and key_hash in (select key_hash from shared_keys)
    ),

    contradicted as (
        select
            *,
            copy_number = 1
            and count(case when copy_number = 1 then 1 end) over (
                partition by provider, source_name, {{ key }}, county_code
            ) > 1 as is_contradicted
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
                cast(json_extract_string(to_json(contradicted), corrections.series) as double) - corrections.value
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
            bool_or(is_kept) over (partition by provider, source_name, {{ key }}, county_code) as has_kept
        from ruled
    ),

    final as (
        select
            resolved.* exclude (unusable_reason),
            case
                when resolved.unusable_reason is not null then resolved.unusable_reason
                when settled.copy_number > 1 then 'duplicate row'
                when settled.action = 'set_records_aside' then 'contradicting records'
                when settled.has_kept and not settled.is_kept then 'contradicts the record kept'
            end as set_aside_reason,
            case when settled.action = 'set_records_aside' or settled.has_kept then settled.correction_id end
                as correction_id
        from resolved
        left join settled on resolved.origin = settled.origin
    )
{%- endmacro %}
