with

measures as (
    select
        measure,
        city_id,
        year,
        cast(measure_count as bigint) as measure_count
    from {{ ref('fct_ai_measure') }}
    where
        measure in ('ai_firms', 'ai_patent_applications', 'ai_patent_grants')
        and weighting = 'observed'
        and scope = '{{ var("default_measure").scope }}'
),

cities as (
    select * from {{ ref('dim_city') }}
),

classes as (
    select * from {{ ref('spatial_classes') }}
),

delivered as (
    select distinct measure
    from measures
    where measure_count is not null
),

-- National totals and ranks of the cities. The counts are integers, so the totals do not depend on the order of the
-- rows, unlike floating-point sums.
ranked as (
    select
        measures.*,
        sum(measures.measure_count) over (partition by measures.measure, measures.year) as national_count,
        rank() over (
            partition by measures.measure, measures.year order by measures.measure_count desc nulls last
        ) as place
    from measures
    inner join delivered using (measure)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        ranked.measure,
        'observed' as weighting,
        ranked.city_id,
        ranked.year,
        cities.name_zh,
        cities.name_en,
        cities.province_id,
        cities.province_name_zh,
        cities.province_name_en,
        cities.region,
        ranked.measure_count,
        ranked.measure_count / nullif(ranked.national_count, 0) as national_share,
        case when ranked.measure_count is not null then cast(ranked.place as integer) end as national_rank,
        classes.class,
        case when ranked.measure_count is not null then subsets.class is not null end as is_single_digit
    from ranked
    inner join cities using (city_id)
    left join classes
        on
            not classes.is_subset
            and ranked.measure_count >= classes.minimum
            and (classes.maximum is null or ranked.measure_count <= classes.maximum)
    left join classes as subsets
        on
            subsets.class = 'single_digit'
            and ranked.measure_count between subsets.minimum and subsets.maximum
)

select * from final
