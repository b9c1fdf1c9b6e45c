{{ config(materialized='ephemeral') }}

-- depends_on: {{ ref('ai_keywords') }}

with

titles as (
    select
        publication_number,
        {{ searched_text('title') }} as searched_text
    from {{ ref('int_patent_titles') }}
),

-- AI terms found in each title. Terms that the dictionary excludes ('set_aside') are matched as well, so that the
-- evaluation can show the effect of excluding them.
found as (
    {%- for kind in ['include', 'set_aside'] %}
    select
        publication_number,
        '{{ kind }}' as kind,
        {{ explode(ai_terms_in('searched_text', kind)) }} as term
    from titles
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select distinct
        found.publication_number,
        keywords.term,
        keywords.kind = 'include' and keywords.searched_in = 'any' as is_used
    from found
    inner join {{ ref('ai_keywords') }} as keywords
        on
            found.term = lower(keywords.term)
            and found.kind = keywords.kind
)

select * from final
