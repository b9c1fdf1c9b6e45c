{# The city of a code in a register, joined to rows or cells. Registers keep codes of other years, so that any year's counts. #}
{% macro register_city_joins(city_code) -%}
left join {{ ref('int_city_identifiers') }} as identifiers
        on
            identifiers.identifier_kind = 'code'
            and {{ city_code_of(city_code) }} = identifiers.identifier
    left join (
        select distinct others.identifier
        from {{ ref('non_prefectures') }} as others
        where others.identifier_kind = 'code'
    ) as known_others
        on {{ city_code_of(city_code) }} = known_others.identifier
    left join (
        select distinct changes.from_city_id as city_id
        from {{ ref('city_changes') }} as changes
        where changes.kind = 'split'
    ) as dissolved
        on identifiers.city_id = dissolved.city_id
{%- endmacro %}

{# Why the city of a code cannot be used. #}
{% macro register_city_reason(city_code) -%}
case
                when known_others.identifier is not null then 'known non-prefecture'
                when coalesce({{ city_code_of(city_code) }}, '') = '' then 'no city'
                when identifiers.city_id is null then 'unknown city'
                when dissolved.city_id is not null then 'dissolved city, not allocated'
            end
{%- endmacro %}
