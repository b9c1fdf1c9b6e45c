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
