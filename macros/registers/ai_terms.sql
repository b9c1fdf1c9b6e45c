{#
Compile the terms of seeds/ai_keywords.csv into a list of regular expressions. `minimal` omits Chinese terms that
contain another term, which is enough to test whether a text matches.

RE2, DuckDB's engine, slows down sharply beyond a thousand terms (1,500 take 25 times as long), so each alternation has
at most 750. All engines read escaped characters alike; only the word boundaries of English terms differ between them.
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
                {#- A text that contains a term also contains each shorter term within it, so these suffice. #}
                and (terms.language <> 'zh' or not exists (
                    select 1 from {{ existing }} as part
                    where part.kind = terms.kind and part.language = 'zh' and part.term <> terms.term
                        and position(part.term in terms.term) > 0
                ))
                {%- endif %}
                {#-
                RE2 merges neighbouring terms with a common prefix. In descending order, a longer term precedes its own
                prefixes and matches first.
                #}
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
    {#- This pattern never matches, for a dictionary without terms. #}
    {{ return(patterns or ['[^\\s\\S]']) }}
{%- endmacro %}

{# Join terms into one pattern; engines that would try every term at each position need their first characters. #}
{% macro alternation(terms, firsts) -%}
    {{ return(adapter.dispatch('alternation')(terms, firsts)) }}
{%- endmacro %}

{% macro default__alternation(terms, firsts) -%}
    {{ return(terms | join('|')) }}
{%- endmacro %}

{# Match an English term as a whole word; adjacent Chinese characters do not count as letters. #}
{% macro bounded_term(term) -%}
    {{ return(adapter.dispatch('bounded_term')(term)) }}
{%- endmacro %}

{% macro default__bounded_term(term) -%}
    {#- RE2 has no look-around. \b is a boundary beside an ASCII letter or digit, and \B beside any other character. -#}
    {%- set first = '\\b' if modules.re.match('[0-9A-Za-z_]', term) else '\\B' -%}
    {%- set last = '\\b' if modules.re.search('[0-9A-Za-z_]$', term) else '\\B' -%}
    {{ return(first ~ term ~ last) }}
{%- endmacro %}

{#
Test whether a text may contain an AI term: it contains a term literally, or full-width letters, which are only
normalised later. With several patterns, a cheap pattern of letter pairs runs first, so that most texts are scanned
once.
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
Return a pattern with one pair of adjacent characters per term; a text that matches none of the pairs contains no term.
Of each term, the pair that is rarest in a sample of 500 texts is used. The choice affects only speed, not the matches.
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
Normalise a text to the spelling of the terms (lower case, half width), and replace matches of exclude terms with '#'.
translate() is used instead of lower(), because engines differ in lower() outside ASCII.
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

{# List the terms of a kind in a text returned by searched_text; longer terms match first. #}
{% macro ai_terms_in(searched_text, kind='include') -%}
    {%- for pattern in ai_patterns(kind, minimal=false) -%}
        regexp_extract_all({{ searched_text }}, {{ literal(pattern) }}, 0)
        {%- if not loop.last %} || {% endif -%}
    {%- endfor -%}
{%- endmacro %}
