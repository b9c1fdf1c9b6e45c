{# What Spark writes otherwise: texts, regular expressions, dates. The macros without a prefix say what each one does. #}
{% macro spark__literal(value) -%}
'{{ value | replace('\\', '\\\\') | replace("'", "\\'") }}'
{%- endmacro %}

{% macro spark__bounded_term(term) -%}
    {#- \b of Java takes Chinese beside a term for letters, or not, by its version. -#}
    {{ return('(?<![0-9A-Za-z_])' ~ term ~ '(?![0-9A-Za-z_])') }}
{%- endmacro %}

{# A look at the first character is a tenth of the time: Java tries one term after the other. #}
{% macro spark__alternation(terms, firsts) -%}
    {{ return('(?=[' ~ firsts | join ~ '])(?:' ~ terms | join('|') ~ ')') }}
{%- endmacro %}

{% macro spark__matches(text, pattern) -%}
    {{ text }} rlike {{ literal(pattern) }}
{%- endmacro %}

{% macro spark__explode(list) -%}
    explode({{ list }})
{%- endmacro %}

{% macro spark__replace_all(text, pattern, replacement) -%}
    regexp_replace({{ text }}, {{ literal(pattern) }}, {{ literal(replacement) }})
{%- endmacro %}

{% macro spark__joined_terms(term) -%}
    array_join(sort_array(collect_set({{ term }})), '、')
{%- endmacro %}

{# DuckDB's reading of a text: one separator of four, twice, and no month without a day; Spark's cast takes "2015". #}
{% macro spark__date_of(value) -%}
    {%- set time = '([ T]([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9]([.][0-9]+)?)? ?(Z|[+-][0-9]{1,2}(:?[0-9]{2})?)?)?' -%}
    {%- set form = '^\\s*([0-9]{1,4})([-/ \\\\])([0-9]{1,2})\\2([0-9]{1,2})' ~ time ~ '\\s*$' -%}
    {%- set rewritten = "regexp_replace(" ~ value ~ ", " ~ literal(form) ~ ", '000$1-$3-$4')" -%}
    case
        when typeof({{ value }}) <> 'string' or {{ value }} rlike '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
            then try_cast({{ value }} as date)
        when {{ value }} rlike {{ literal(form) }}
            then try_cast(regexp_replace({{ rewritten }}, '^0*([0-9]{4}-)', '$1') as date)
    end
{%- endmacro %}
