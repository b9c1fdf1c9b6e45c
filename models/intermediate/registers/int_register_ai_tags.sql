with

candidates as (
    select * from {{ ref('int_register_ai_candidates') }}
),

-- Distinct texts, because many records share a text and each text needs to be tagged only once.
texts as (
    select distinct
        entity,
        text
    from candidates
),

searched as (
    select
        entity,
        text,
        {{ searched_text('text') }} as searched_text
    from texts
),

matches as (
    select
        entity,
        text,
        {{ explode(ai_terms_in('searched_text')) }} as term
    from searched
),

tagged_texts as (
    select
        matches.entity,
        matches.text,
        keywords.element,
        keywords.segment,
        {{ joined_terms('keywords.term') }} as matched_terms
    from matches
    inner join {{ ref('ai_keywords') }} as keywords
        on
            matches.term = lower(keywords.term)
            and keywords.searched_in in ('any', matches.entity)
    group by matches.entity, matches.text, keywords.element, keywords.segment
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
    inner join tagged_texts
        on
            candidates.entity = tagged_texts.entity
            and candidates.text = tagged_texts.text
    left join {{ ref('int_register_dropped_rows') }} as dropped
        on
            candidates.store_key = dropped.store_key
            and candidates.row_number = dropped.row_number
    where dropped.row_number is null
)

select * from final
