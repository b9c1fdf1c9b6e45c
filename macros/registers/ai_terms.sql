{#
The dictionary seeds/ai_keywords.csv as regular expressions, written when a model compiles.

RE2, DuckDB's engine, falls off a cliff past a thousand terms (1,500 take 25 times as long), so an alternation holds 750.
Special characters stand behind a backslash, which every engine reads alike; the bounds of an English term differ.
#}
{% macro ai_patterns(kind, minimal) -%}
    {%- set patterns = [] -%}
    {%- if execute -%}
        {%- set seed = ref('ai_keywords') -%}
        {%- set existing = adapter.get_relation(seed.database, seed.schema, seed.identifier) -%}
        {%- if existing -%}
            {%- set query -%}
                select lower(terms.term) as term, terms.language
                from {{ existing }} as terms
                where terms.kind = '{{ kind }}'
                {%- if minimal %}
                {#- A text that holds a term holds each term inside it. #}
                and (terms.language <> 'zh' or not exists (
                    select 1 from {{ existing }} as part
                    where part.kind = terms.kind and part.language = 'zh' and part.term <> terms.term
                        and position(part.term in terms.term) > 0
                ))
                {%- endif %}
                {#- RE2 joins neighbours with one beginning; backwards, a longer term comes before what it begins with. #}
                order by lower(terms.term) desc
            {%- endset -%}
            {%- for block in run_query(query).rows | batch(750) -%}
                {%- set terms, firsts = [], [] -%}
                {%- for row in block -%}
                    {%- set term = modules.re.escape(row[0]) -%}
                    {%- do terms.append(bounded_term(term) if row[1] == 'en' else term) -%}
                    {%- do firsts.append(row[0][0]) -%}
                {%- endfor -%}
                {%- do patterns.append(alternation(terms, firsts)) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
    {#- Without terms nothing matches. #}
    {{ return(patterns or ['[^\\s\\S]']) }}
{%- endmacro %}

{# One pattern of many terms; the first character of each is given for engines that try them all at each place. #}
{% macro alternation(terms, firsts) -%}
    {{ return(adapter.dispatch('alternation')(terms, firsts)) }}
{%- endmacro %}

{% macro default__alternation(terms, firsts) -%}
    {{ return(terms | join('|')) }}
{%- endmacro %}

{# A term that stands alone. Chinese beside it is no letter. #}
{% macro bounded_term(term) -%}
    {{ return(adapter.dispatch('bounded_term')(term)) }}
{%- endmacro %}

{% macro default__bounded_term(term) -%}
    {#- RE2 has no look-around: before a letter a bound, before another character none. -#}
    {%- set first = '\\b' if modules.re.match('[0-9A-Za-z_]', term) else '\\B' -%}
    {%- set last = '\\b' if modules.re.search('[0-9A-Za-z_]$', term) else '\\B' -%}
    {{ return(first ~ term ~ last) }}
{%- endmacro %}

{#
Whether a text may hold an AI term: it has one to the letter, or full-width letters, which are folded later.
Several expressions would each read all texts, so one of pairs of letters goes before them.
#}
{% macro may_hold_an_ai_term(text, relation) -%}
    {%- set wide_letters = '[Ａ-Ｚａ-ｚ]' -%}
    {%- set patterns = ai_patterns('include', minimal=true) -%}
    {%- if patterns | length > 1 %}
    {{ matches(text, '(?i)' ~ rarest_pairs(text, relation) ~ '|' ~ wide_letters) }} and
    {%- endif %}
    (
        {%- for pattern in patterns %}
        {{ matches(text, '(?i)' ~ pattern ~ ('|' ~ wide_letters if loop.first else '')) }}
        {%- if not loop.last %} or {% endif %}
        {%- endfor %}
    )
{%- endmacro %}

{#
One pair of neighbouring letters of each term, as one expression: a text without any of them holds no term.
The rarest in a few texts is taken; which one decides what is passed on to the whole terms, not what is found.
#}
{% macro rarest_pairs(text, relation) -%}
    {%- set query = 'select ' ~ text ~ ' from ' ~ relation ~ ' where ' ~ text ~ ' is not null limit 500' -%}
    {%- set texts = column_of(query) | join(' ') | lower -%}
    {%- set seconds = {} -%}
    {%- for term in column_of('select lower(term) from ' ~ ref('ai_keywords') ~ " where kind = 'include'") -%}
        {%- set rarest = namespace(pair=term[:2]) -%}
        {%- for position in range(1, term | length - 1) -%}
            {%- set pair = term[position:position + 2] -%}
            {%- if texts.count(pair) < texts.count(rarest.pair) -%}{%- set rarest.pair = pair -%}{%- endif -%}
        {%- endfor -%}
        {%- do seconds.setdefault(rarest.pair[0], {}).update({modules.re.escape(rarest.pair[1:]): none}) -%}
    {%- endfor -%}
    {%- set pairs = [] -%}
    {%- for first in seconds | sort -%}
        {%- do pairs.append(modules.re.escape(first) ~ '(?:' ~ seconds[first] | sort | join('|') ~ ')') -%}
    {%- endfor -%}
    {{ return(pairs | join('|')) }}
{%- endmacro %}

{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    regexp_matches({{ text }}, {{ literal(pattern) }})
{%- endmacro %}

{% macro explode(list) -%}
    {{ return(adapter.dispatch('explode')(list)) }}
{%- endmacro %}

{% macro default__explode(list) -%}
    unnest({{ list }})
{%- endmacro %}

{% macro replace_all(text, pattern, replacement) -%}
    {{ return(adapter.dispatch('replace_all')(text, pattern, replacement)) }}
{%- endmacro %}

{% macro default__replace_all(text, pattern, replacement) -%}
    regexp_replace({{ text }}, {{ literal(pattern) }}, {{ literal(replacement) }}, 'g')
{%- endmacro %}

{% macro joined_terms(term) -%}
    {{ return(adapter.dispatch('joined_terms')(term)) }}
{%- endmacro %}

{% macro default__joined_terms(term) -%}
    string_agg(distinct {{ term }}, '、' order by {{ term }})
{%- endmacro %}

{#
A text as the terms are written, and without what an exclude term covers. Letters are folded here and not with lower(),
by which engines differ outside ASCII.
#}
{% macro searched_text(text) -%}
    {%- set wide = 'ABCDEFGHIJKLMNOPQRSTUVWXYZＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ０１２３４５６７８９－　' -%}
    {%- set narrow = 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789- ' -%}
    {%- set folded -%}
        case
            when {{ matches(text, '[A-ZＡ-Ｚａ-ｚ０-９－　]') }} then translate({{ text }}, '{{ wide }}', '{{ narrow }}')
            else {{ text }}
        end
    {%- endset -%}
    {%- set struck = namespace(text=folded) -%}
    {%- for pattern in ai_patterns('exclude', minimal=false) -%}
        {%- set struck.text = replace_all(struck.text, pattern, '#') -%}
    {%- endfor -%}
    {{ struck.text }}
{%- endmacro %}

{# The terms of a kind that such a text holds, as a list. The longest terms match first. #}
{% macro ai_terms_in(searched_text, kind='include') -%}
    {%- for pattern in ai_patterns(kind, minimal=false) -%}
        regexp_extract_all({{ searched_text }}, {{ literal(pattern) }}, 0)
        {%- if not loop.last %} || {% endif -%}
    {%- endfor -%}
{%- endmacro %}
