with

titles as (
    select * from {{ ref('int_patent_titles') }}
),

title_terms as (
    select
        *,
        -- Number of other AI terms in the same title. If there are none, this term alone decides whether the title
        -- counts as AI.
        sum(case when is_used then 1 else 0 end) over (partition by publication_number)
        - case when is_used then 1 else 0 end as other_used_count
    from {{ ref('int_patent_title_terms') }}
),

candidates as (
    select * from {{ ref('int_register_ai_candidates') }}
),

register_terms as (
    select distinct
        entity,
        store_key,
        row_number,
        unnest(string_split(matched_terms, '、')) as term
    from {{ ref('int_register_ai_tags') }}
),

register_years as (
    select
        register_terms.entity,
        register_terms.term,
        candidates.start_year,
        count(*) over (partition by register_terms.store_key, register_terms.row_number) as term_count
    from register_terms
    inner join candidates using (store_key, row_number)
),

evaluated as (
    select
        'patent_titles' as corpus,
        title_terms.term,
        title_terms.is_used,
        count(*) as matched_text_count,
        cast(sum(case when title_terms.other_used_count = 0 then 1 else 0 end) as bigint) as sole_text_count,
        avg(cast(titles.is_core as integer)) as core_share,
        avg(cast(titles.is_narrow as integer)) as narrow_share,
        avg(cast(titles.is_wide as integer)) as wide_share,
        array_to_string(list_slice(list_sort(list(title_terms.publication_number)), 1, 5), ' ') as example_ids
    from title_terms
    inner join titles using (publication_number)
    group by title_terms.term, title_terms.is_used
    union all by name
    select
        entity as corpus,
        term,
        start_year as entry_year,
        true as is_used,
        count(*) as matched_text_count,
        cast(sum(case when term_count = 1 then 1 else 0 end) as bigint) as sole_text_count
    from register_years
    group by entity, term, start_year
),

final as (
    select
        {{ extract_set() }} as extract_set,
        evaluated.* replace (cast(evaluated.entry_year as integer) as entry_year),
        keywords.searched_in,
        keywords.source,
        keywords.reason
    from evaluated
    inner join {{ ref('ai_keywords') }} as keywords using (term)
)

select * from final
