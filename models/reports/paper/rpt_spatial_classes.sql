with

distribution as (
    select * from {{ ref('fct_spatial_distribution') }}
    where
        measure = 'ai_firms'
        and year = {{ declared_year('base_year') }}
),

classes as (
    select * from {{ ref('spatial_classes') }}
),

facts as (
    select
        fact_id,
        cast(value as double) as value
    from {{ ref('published_facts') }}
),

-- Substitutes used in the estimates. Reading the estimates keeps this report empty when the gate withholds the
-- estimates.
substitution as (
    select
        nullif(max(substitutions), '') as substitutions,
        nullif(max(substitutions_zh), '') as substitutions_zh
    from {{ ref('est_spatial_autocorrelation') }}
    where measure = 'ai_firms'
),

delivered as (
    select count(measure_count) as unit_count
    from distribution
),

members as (
    select
        classes.class,
        distribution.city_id,
        distribution.name_en,
        distribution.name_zh,
        distribution.measure_count,
        row_number() over (
            partition by classes.class order by distribution.measure_count desc, distribution.city_id asc
        ) as place
    from distribution
    inner join classes
        on
            distribution.measure_count >= classes.minimum
            and (classes.maximum is null or distribution.measure_count <= classes.maximum)
),

-- Number of cities and AI firms by class. The paper names all cities in its two highest classes; this table names the
-- ten largest in each class.
by_class as (
    select
        class,
        count(*) as unit_count,
        sum(measure_count) as ai_firm_count,
        string_agg(case when place <= 10 then name_en end, ', ' order by place) as largest_cities_en,
        string_agg(case when place <= 10 then name_zh end, '、' order by place) as largest_cities_zh
    from members
    group by class
),

filled as (
    select
        classes.*,
        substitution.substitutions,
        substitution.substitutions_zh,
        case when delivered.unit_count > 0 then coalesce(by_class.unit_count, 0) end as unit_count,
        case when delivered.unit_count > 0 then coalesce(by_class.ai_firm_count, 0) end as ai_firm_count,
        case when classes.minimum >= 100 then by_class.largest_cities_en end as largest_cities_en,
        case when classes.minimum >= 100 then by_class.largest_cities_zh end as largest_cities_zh
    from classes
    cross join substitution
    cross join delivered
    left join by_class using (class)
),

shares as (
    select
        *,
        sum(case when not is_subset then ai_firm_count end) over () as national_count,
        sum(case when not is_subset then ai_firm_count end) over (
            order by minimum desc, is_subset asc
            rows between unbounded preceding and current row
        ) as cumulative_count
    from filled
),

final as (
    select
        cast(row_number() over (order by shares.minimum desc, shares.is_subset asc) as integer) as row_number,
        shares.class,
        shares.label_en,
        shares.label_zh,
        shares.is_subset,
        {{ declared_year('base_year') }} as year,
        cast(shares.unit_count as integer) as unit_count,
        cast(units.value as integer) as printed_unit_count,
        shares.largest_cities_en,
        shares.largest_cities_zh,
        cast(shares.ai_firm_count as bigint) as ai_firm_count,
        shares.ai_firm_count / nullif(shares.national_count, 0) as national_share,
        case
            when not shares.is_subset then shares.cumulative_count / nullif(shares.national_count, 0)
        end as cumulative_share,
        cumulative_shares.value / 100 as printed_cumulative_share,
        shares.substitutions,
        shares.substitutions_zh,
        {{ extract_set() }} as extract_set
    from shares
    left join facts as units on shares.unit_fact_id = units.fact_id
    left join facts as cumulative_shares on shares.cumulative_share_fact_id = cumulative_shares.fact_id
)

select * from final
order by row_number
