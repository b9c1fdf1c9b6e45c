{# Spark's syntax for literals, regular expressions and dates. The default macros document what each one returns. #}
{% macro spark__literal(value) -%}
'{{ value | replace('\\', '\\\\') | replace("'", "\\'") }}'
{%- endmacro %}

{% macro spark__bounded_term(term) -%}
    {#- Whether \b treats adjacent Chinese characters as letters depends on the Java version. -#}
    {{ return('(?<![0-9A-Za-z_])' ~ term ~ '(?![0-9A-Za-z_])') }}
{%- endmacro %}

{#
Java tries the terms one by one at each character. A look-ahead at the character, and a binary search over the first
characters of the terms, reduce the time to a fifth.
#}
{% macro spark__alternation(terms, firsts) -%}
    {%- set by_first = {} -%}
    {%- for term, first in zip(terms, firsts) -%}
        {%- do by_first.setdefault(first, []).append(term) -%}
    {%- endfor -%}
    {%- set both_cases = by_first | list + by_first | select('in', 'abcdefghijklmnopqrstuvwxyz') | map('upper') | list -%}
    {%- set some_first = '(?=(?-i:[' ~ halved_characters(both_cases | sort(case_sensitive=true)) ~ ']))' -%}
    {{ return(some_first ~ '(?:' ~ halved_terms(by_first, by_first | sort(case_sensitive=true)) ~ ')') }}
{%- endmacro %}

{% macro halved_characters(characters) -%}
    {%- set parts = [] -%}
    {%- for half in characters | batch((characters | length + 1) // 2) if characters | length > 3 -%}
        {%- do parts.append('[' ~ character_range(half) ~ '&&[' ~ halved_characters(half) ~ ']]') -%}
    {%- endfor -%}
    {%- for character in characters if characters | length <= 3 -%}
        {%- do parts.append(modules.re.escape(character)) -%}
    {%- endfor -%}
    {{ return(parts | join) }}
{%- endmacro %}

{% macro halved_terms(by_first, firsts) -%}
    {%- set parts = [] -%}
    {%- for half in firsts | batch((firsts | length + 1) // 2) if firsts | length > 3 -%}
        {%- do parts.append('(?=[' ~ character_range(half) ~ '])(?:' ~ halved_terms(by_first, half) ~ ')') -%}
    {%- endfor -%}
    {%- for first in firsts if firsts | length <= 3 -%}
        {%- do parts.extend(by_first[first]) -%}
    {%- endfor -%}
    {{ return(parts | join('|')) }}
{%- endmacro %}

{% macro character_range(characters) -%}
    {{ return(modules.re.escape(characters[0]) ~ '-' ~ modules.re.escape(characters[-1])) }}
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

{#
Parse the same dates as DuckDB: one of four separators, used twice, and a day is required. Spark's own cast would also
accept "2015".
#}
{% macro spark__date_of(value) -%}
    {%- set time = '([ T]([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9]([.][0-9]+)?)? ?(Z|[+-][0-9]{1,2}(:?[0-9]{2})?)?)?' -%}
    {%- set form = '^\\s*([0-9]{1,4})([-/ \\\\])([0-9]{1,2})\\2([0-9]{1,2})' ~ time ~ '\\s*$' -%}
    {%- set rewritten = "regexp_replace(" ~ value ~ ", " ~ literal(form) ~ ", '000$1-$3-$4')" -%}
    case
        when typeof({{ value }}) <> 'string' or {{ value }} rlike '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'
            then try_cast({{ value }} as date)
        when {{ value }} rlike {{ literal(form) }}
            then try_cast(regexp_replace({{ rewritten }}, '^0*([0-9]{4}-)', '$1') as date)
        when {{ value }} rlike {{ literal(other_date_forms()) }}
            then try_cast(regexp_replace({{ value }}, {{ literal(other_date_forms()) }}, '$1$4$7-$2$5$8-$3$6$9') as date)
        when {{ value }} rlike {{ literal(serial_date_form()) }}
            then date_add(date '1899-12-30', cast(regexp_extract({{ value }}, {{ literal(serial_date_form()) }}, 1) as int))
    end
{%- endmacro %}
