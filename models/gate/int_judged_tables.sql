{%- set least_cities = var('least_share_of_cities') ~ ' * city_counts.city_count' -%}
{%- set of_series_and_scope = 'floors.series = judged.series and floors.scope = judged.scope' -%}
with

cities as (
    select * from {{ ref('cities') }}
),

required_cities as (
    select * from {{ ref('required_cities') }}
),

records as (
    select * from {{ ref('int_records_conformed') }}
    where set_aside_reason is null
),

deliveries as (
    select * from {{ ref('raw_deliveries') }}
    where delivery_number is not null
),

deviations as (
    select * from {{ ref('int_value_deviations') }}
),

known_gaps as (
    select
        series as quantity,
        scope,
        provider,
        unnest(range(first_year, last_year + 1)) as year
    from {{ ref('expected_coverage') }}
    where city_id is null
),

city_counts as (
    select count(*) as city_count
    from cities
    where unit_kind <> 'county_level'
),

-- The city-years that a headline specification asks of each of its series.
inputs as (
    select
        specification_id,
        series,
        quantity,
        scope,
        provider,
        unnest(
            list_distinct(
                list_concat(range(first_year, last_year + 1), case when fixed_year is not null then [fixed_year] end)
            )
        ) as year
    from {{ ref('dim_specification_series') }}
    where
        is_headline
        and quantity is not null
),

-- From the records, upstream of every table that is judged.
delivered as (
    select distinct
        sources.series as quantity,
        sources.scope,
        sources.provider,
        records_by_series.year
    from {{ ref('int_series_delivered') }} as records_by_series
    inner join {{ ref('int_series_sources') }} as sources
        on
            records_by_series.series = sources.series
            and records_by_series.scope = sources.delivered_scope
            and records_by_series.provider = sources.provider
    where records_by_series.value is not null
),

headline_series as (
    select
        inputs.specification_id,
        inputs.series,
        inputs.scope,
        count(delivered.quantity) > 0 as is_delivered
    from inputs
    left join delivered
        on
            inputs.quantity = delivered.quantity
            and inputs.scope = delivered.scope
            and inputs.year = delivered.year
            and (inputs.series = inputs.quantity or inputs.series = delivered.quantity || '@' || delivered.provider)
    group by inputs.specification_id, inputs.series, inputs.scope
),

estimable as (
    select specification_id
    from headline_series
    group by specification_id
    having bool_and(is_delivered)
),

due_years as (
    select distinct
        inputs.series,
        inputs.quantity,
        inputs.scope,
        inputs.year
    from inputs
    inner join headline_series using (specification_id, series, scope)
    anti join known_gaps using (quantity, scope, provider, year)
    where headline_series.is_delivered
),

panel_years as (
    select distinct inputs.year
    from inputs
    inner join estimable using (specification_id)
),

series_floors as (
    select
        due_years.series,
        due_years.quantity,
        due_years.scope,
        count(*) as year_count,
        count(*) * {{ least_cities }} as value_count
    from due_years
    cross join city_counts
    group by due_years.series, due_years.quantity, due_years.scope, city_counts.city_count
),

-- Years in which headlines use both series of a pair.
pair_floors as (
    select
        pairs.series,
        pairs.scope,
        count(distinct firsts.year) as year_count
    from {{ ref('series_pairs') }} as pairs
    inner join due_years as firsts
        on
            pairs.series = firsts.series
            and pairs.scope = firsts.scope
    inner join due_years as seconds
        on
            pairs.other_series = seconds.series
            and pairs.other_scope = seconds.scope
            and firsts.year = seconds.year
    group by pairs.series, pairs.scope
),

province_floors as (
    select
        due_years.series,
        due_years.scope,
        count(distinct due_years.year) as year_count
    from due_years
    inner join delivered as totals
        on
            'province_' || due_years.series = totals.quantity
            and due_years.year = totals.year
    group by due_years.series, due_years.scope
),

floors as (
    select
        'fct_deliveries' as table_name,
        count(*) as row_floor,
        (select count(*) from {{ ref('fct_deliveries') }}) as row_count
    from deliveries
    union all by name
    select
        'int_source_checks' as table_name,
        count(*) as row_floor,
        (select count(*) from {{ ref('int_source_checks') }}) as row_count
    from deliveries
    where
        valid_until_delivery is null
        and copy_of_delivery is null
        and source_name is not null
    union all by name
    select
        'int_record_checks' as table_name,
        count(distinct (entity, provider, city_id, year)) as row_floor,
        (select count(*) from {{ ref('int_record_checks') }}) as row_count
    from records
    where entity in ('{{ var("counted_entities") | join("', '") }}')
    union all by name
    select
        'fct_doubtful_values' as table_name,
        count(*) as row_floor,
        (select count(*) from {{ ref('fct_doubtful_values') }} where rule = 'neighbours') as row_count
    from deviations
    where
        kind = 'alone'
        and is_off
    {%- for table, floors, floor, counted, same in [
        ('int_series_corrected', 'series_floors', 'value_count', 'value', 'floors.quantity = judged.series'),
        ('int_series_years', 'series_floors', 'year_count', 'median_value', of_series_and_scope),
        ('int_series_shapes', 'series_floors', 'year_count', 'year', of_series_and_scope),
        ('int_series_pairs', 'pair_floors', 'year_count', 'year', of_series_and_scope),
        ('int_province_sums', 'province_floors', 'year_count', 'year', 'floors.series = judged.series')
    ] %}
    union all by name
    select
        '{{ table }}' as table_name,
        floors.series,
        floors.scope,
        any_value(floors.{{ floor }}) as row_floor,
        count(judged.{{ counted }}) as row_count
    from {{ floors }} as floors
    left join {{ ref(table) }} as judged on {{ same }}
    group by floors.series, floors.scope
    {%- endfor %}
    {%- for table in ['fct_city_year_panel', 'int_panel_consistency'] %}
    union all by name
    select
        '{{ table }}' as table_name,
        (select count(*) from panel_years) * {{ least_cities }} as row_floor,
        (select count(*) from {{ ref(table) }} where year in (select year from panel_years)) as row_count
    from city_counts
    {%- endfor %}
    union all by name
    select
        'int_headline_samples' as table_name,
        estimable.specification_id,
        (select count(*) from required_cities) as row_floor,
        count(judged.specification_id) as row_count
    from estimable
    left join {{ ref('int_headline_samples') }} as judged using (specification_id)
    group by estimable.specification_id
    union all by name
    select
        'int_specification_samples' as table_name,
        estimable.specification_id,
        1 as row_floor,
        count(case when samples.is_observation then 1 end) as row_count
    from estimable
    inner join {{ ref('int_specifications_sampled') }} as sampled using (specification_id)
    left join {{ ref('int_specification_samples') }} as samples using (sample_id)
    group by estimable.specification_id
),

final as (
    select
        table_name,
        specification_id,
        series,
        scope,
        cast(ceil(row_floor) as bigint) as row_floor,
        row_count
    from floors
)

select * from final
