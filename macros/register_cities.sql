{#
The city of a code in a register, joined to a relation of rows or cells.
A code that is known decides, in any year: registers keep the code of a city that was merged away. A county's code
otherwise means its prefecture: its first four digits, or two under a municipality. A county run by its province
(4290xx) has no prefecture and stays unknown.
#}
{% macro register_city_joins(city_code) -%}
left join {{ ref('int_city_identifiers') }} as cities_by_code
        on
            cities_by_code.identifier_kind = 'code'
            and trim({{ city_code }}) = cities_by_code.identifier
    left join {{ ref('int_city_identifiers') }} as prefectures
        on
            prefectures.identifier_kind = 'code'
            and case
                when cities_by_code.city_id is null then {{ prefecture_code('trim(' ~ city_code ~ ')') }}
            end = prefectures.identifier
    left join (
        select distinct changes.from_city_id as city_id
        from {{ ref('city_changes') }} as changes
        where changes.kind = 'split'
    ) as dissolved
        on {{ register_city_id() }} = dissolved.city_id
{%- endmacro %}

{% macro register_city_id() -%}
coalesce(cities_by_code.city_id, prefectures.city_id)
{%- endmacro %}

{# Why the city of a code cannot be used. #}
{% macro register_city_reason(city_code) -%}
case
                when {{ city_code }} is null or trim({{ city_code }}) = '' then 'no city'
                when {{ register_city_id() }} is null then 'unknown city'
                when dissolved.city_id is not null then 'dissolved city, not allocated'
            end
{%- endmacro %}

{# The prefecture or municipality of a code of six digits; null for any other text. #}
{% macro prefecture_code(code) -%}
case
                    when length({{ code }}) <> 6 or translate({{ code }}, '0123456789', '') <> '' then null
                    when substring({{ code }}, 1, 2) in ('11', '12', '31', '50') then concat(substring({{ code }}, 1, 2), '0000')
                    else concat(substring({{ code }}, 1, 4), '00')
                end
{%- endmacro %}
