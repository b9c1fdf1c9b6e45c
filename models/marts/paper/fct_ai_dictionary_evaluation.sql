with

tagged_titles as (
    select distinct publication_number
    from {{ ref('int_patent_title_terms') }}
    where is_used
),

titles as (
    select
        titles.*,
        tagged_titles.publication_number is not null as is_tagged
    from {{ ref('int_patent_titles') }} as titles
    left join tagged_titles using (publication_number)
),

-- Register records with usable text, including records that were set aside only because of their city.
register_cells as (
    select * from {{ ref('int_register_cells') }}
    where
        set_aside_reason is null
        or set_aside_reason = 'unknown city'
        or set_aside_reason in (select cities.set_aside_reason from {{ ref('int_register_cities') }} as cities)
),

evaluated as (
    {%- for class_set in ['core', 'narrow', 'wide'] %}
    select
        'patent_titles' as corpus,
        '{{ class_set }}' as class_set,
        count(*) as text_count,
        cast(sum(cast(is_tagged as integer)) as bigint) as tagged_text_count,
        cast(sum(cast(is_{{ class_set }} as integer)) as bigint) as class_text_count,
        cast(sum(cast(is_tagged and is_{{ class_set }} as integer)) as bigint) as tagged_class_text_count
    from titles
    having count(*) > 0
    union all by name
    {%- endfor %}
    select
        entity as corpus,
        start_year as entry_year,
        cast(sum(row_count) as bigint) as text_count,
        cast(sum(ai_row_count) as bigint) as tagged_text_count
    from register_cells
    group by entity, start_year
),

final as (
    select
        {{ extract_set() }} as extract_set,
        * replace (cast(entry_year as integer) as entry_year),
        tagged_text_count / nullif(text_count, 0) as tagged_share,
        tagged_class_text_count / nullif(tagged_text_count, 0) as precision_share,
        tagged_class_text_count / nullif(class_text_count, 0) as recall_share
    from evaluated
)

select * from final
