{#
Return the six-digit code to look up in int_city_identifiers. Blanks are removed, and the statistical code of a town (9
digits) or village (12 digits) is cut to its first six digits, the county code.
#}
{% macro city_code_of(code) -%}
    {%- set plain -%} {{ replace_all(code, '[ \u3000\u00a0\t]', '') }} {%- endset -%}
    case when length({{ plain }}) in (9, 12) then substring({{ plain }}, 1, 6) else {{ plain }} end
{%- endmacro %}

{#
Return a delivered name in the spelling of int_city_identifiers. Blanks, trailing footnote marks, and the bracketed
additions listed in name_additions.csv are removed. Other words in brackets remain, because they may name a district,
and such a name must not match a city.
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
