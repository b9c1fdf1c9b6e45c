{#- Letters are folded here and not with lower(), by which engines differ outside ASCII. -#}
{%- set wide = 'ABCDEFGHIJKLMNOPQRSTUVWXYZＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ０１２３４５６７８９－　' -%}
{%- set narrow = 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789- ' -%}

with

candidates as (
    select * from {{ ref('int_register_ai_candidates') }}
),

-- Each distinct text is tagged once.
texts as (
    select distinct text from candidates
),

folded as (
    select
        text,
        case
            when {{ matches('text', '[A-ZＡ-Ｚａ-ｚ０-９－　]') }} then translate(text, '{{ wide }}', '{{ narrow }}')
            else text
        end as folded_text
    from texts
),

{%- set struck = namespace(text='folded_text') %}
{%- for pattern in ai_patterns('exclude', minimal=false) %}
{%- set struck.text = replace_all(struck.text, pattern, '#') %}
{%- endfor %}

-- What an exclude term covers is struck out.
struck as (
    select
        text,
        {{ struck.text }} as included_text
    from folded
),

-- The longest terms match first.
matches as (
    {%- for pattern in ai_patterns('include', minimal=false) %}
    select
        text,
        {{ explode('regexp_extract_all(included_text, ' ~ literal(pattern) ~ ', 0)') }} as term
    from struck
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

tagged_texts as (
    select
        matches.text,
        keywords.element,
        keywords.segment,
        {{ joined_terms('keywords.term') }} as matched_terms
    from matches
    inner join {{ ref('ai_keywords') }} as keywords on matches.term = lower(keywords.term)
    group by matches.text, keywords.element, keywords.segment
),

final as (
    select
        candidates.entity,
        candidates.store_key,
        candidates.row_number,
        candidates.record_id,
        tagged_texts.element,
        tagged_texts.segment,
        tagged_texts.matched_terms
    from candidates
    inner join tagged_texts on candidates.text = tagged_texts.text
    left join {{ ref('int_register_dropped_rows') }} as dropped
        on
            candidates.store_key = dropped.store_key
            and candidates.row_number = dropped.row_number
    where dropped.row_number is null
)

select * from final
