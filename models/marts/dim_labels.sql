with

dim_series as (
    select * from {{ ref('dim_series') }}
    where scope in ('total', '{{ var("default_measure").scope }}')
),

-- Labels that apply unless a series is replaced by a substitute, which has a label of its own.
paper_labels as (
    select
        kind,
        name,
        label_en,
        label_zh
    from {{ ref('labels') }}
    union all
    select
        'column' as kind,
        variable as name,
        label_en,
        label_zh
    from {{ ref('dim_variable') }}
    union all
    select
        'fact' as kind,
        fact_id as name,
        statement as label_en,
        statement_zh as label_zh
    from {{ ref('published_facts') }}
    union all
    select
        'reason' as kind,
        reason as name,
        label_en,
        label_zh
    from {{ ref('reasons') }}
),

substituted as (
    select
        labels.kind,
        labels.name,
        labels.label_en,
        labels.label_zh,
        dim_series.substitution,
        dim_series.substitution_zh
    from {{ ref('substituted_labels') }} as labels
    inner join dim_series using (series, provider)
    where labels.kind <> 'series'
),

here as (
    select
        'series' as kind,
        series as name,
        label_en,
        label_zh,
        substitution,
        substitution_zh
    from dim_series
    union all
    select
        kind,
        name,
        coalesce(substituted.label_en, paper_labels.label_en) as label_en,
        coalesce(substituted.label_zh, paper_labels.label_zh) as label_zh,
        substituted.substitution,
        substituted.substitution_zh
    from paper_labels
    full outer join substituted using (kind, name)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        *
    from here
)

select * from final
