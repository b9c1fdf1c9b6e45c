{#
Give each delivered row its city_id, and a reason where it is set aside.

A code decides where it is known, a name otherwise; a name that two units share needs its province. Either means a
city in the years for which it does.
`unusable` is an entity's own reason, as an expression. Counts (`is_count`) may keep the code of a city that was merged
away in any year, as registers do; a yearbook may not.
A record that is no longer valid is set aside first of all: as superseded by a delivery, or as withdrawn with its file.
A row that repeats an earlier one of its source to the letter is a duplicate; one that only shares its key is not,
and is left to the gate.
#}
{% macro conform_cities(relation, key, unusable='null', is_count=false) -%}
    successors as (
        select deliveries.delivery_number as successor_number
        from {{ ref('raw_deliveries') }} as deliveries
    ),

    resolved as (
        select
            delivered.*,
            coalesce(by_code.city_id, by_name.city_id) as city_id,
            case
                when delivered.valid_until_delivery is not null and successors.successor_number is null then 'withdrawn'
                when delivered.valid_until_delivery is not null then 'superseded'
                when delivered.year is null then 'no year'
                -- A count under an old code may name the city that it was merged into.
                when by_code.city_id <> by_name.city_id and delivered.year <= by_code.last_year
                    then 'code and name are two cities'
                when coalesce(by_code.city_id, by_name.city_id) is null and ambiguous.name_zh is not null
                    then 'ambiguous city name'
                when coalesce(by_code.city_id, by_name.city_id) is null then 'unknown city'
                when delivered.year not between {{ var('first_year') }} and {{ var('last_year') }}
                    then 'out of period'
                when coalesce(by_code.city_id, by_name.city_id) in (
                    select changes.from_city_id from {{ ref('city_changes') }} as changes where changes.kind = 'split'
                ) then 'dissolved city, not allocated'
                else {{ unusable }}
            end as unusable_reason
        from {{ relation }} as delivered
        left join successors on delivered.valid_until_delivery = successors.successor_number
        left join {{ ref('int_city_identifiers') }} as by_code
            on
                by_code.identifier_kind = 'code'
                and delivered.city_code = by_code.identifier
                and delivered.year between by_code.first_year and {{ 'delivered.year' if is_count else 'by_code.last_year' }}
        left join {{ ref('ambiguous_names') }} as ambiguous
            on
                delivered.city_name = ambiguous.name_zh
                and delivered.province_name is distinct from ambiguous.province_name_zh
        left join {{ ref('int_city_identifiers') }} as by_name
            on
                by_name.identifier_kind = 'name'
                and delivered.city_name = by_name.identifier
                and delivered.year between by_name.first_year and by_name.last_year
                and ambiguous.name_zh is null
    ),

    numbered as (
        select
            *,
            row_number() over (
                partition by
                    provider, source_name, {{ key }},
                    hash(*columns(* exclude (
                        delivery_number, delivery_id, file_path, sheet_name, row_number, valid_from_delivery
                    )))
                order by file_path, sheet_name, row_number
            ) as copy_number
        from resolved
    ),

    final as (
        select
            * exclude (unusable_reason, copy_number),
            case
                when unusable_reason is not null then unusable_reason
                when copy_number > 1 then 'duplicate row'
            end as set_aside_reason
        from numbered
    )
{%- endmacro %}
