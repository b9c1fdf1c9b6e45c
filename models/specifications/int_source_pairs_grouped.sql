{{ config(materialized='view') }}

with

pairs as (
    select * exclude (name_zh, name_en, province_name_zh, province_name_en)
    from {{ ref('fct_source_pairs') }}
),

-- Groups of cities in which sources are compared, such as regions or city sizes.
city_groups as (
    select
        city_id,
        grouping,
        group_name
    from {{ ref('dim_city_groups') }}
    where is_stratum
),

final as (
    select
        pairs.*,
        'all' as grouping,
        'all' as group_name
    from pairs
    union all
    select
        pairs.*,
        city_groups.grouping,
        city_groups.group_name
    from pairs
    inner join city_groups using (city_id)
)

select * from final
