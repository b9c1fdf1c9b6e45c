{%- set least_cities = var('least_share_of_cities') ~ ' * city_counts.city_count' -%}
with

records as (
    select * from {{ ref('int_records_conformed') }}
    where set_aside_reason is null
),

deliveries as (
    select * from {{ ref('raw_deliveries') }}
    where delivery_number is not null
),

values_off as (
    select * from {{ ref('int_value_deviations') }}
    where
        kind = 'alone'
        and is_off
),

city_counts as (
    select count(*) as city_count
    from {{ ref('cities') }}
    where unit_kind <> 'county_level'
),

required_cities as (
    select count(*) as city_count
    from {{ ref('required_cities') }}
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

headlines as (
    select * from {{ ref('dim_specification_series') }}
    where
        is_headline
        and quantity is not null
),

-- One row per headline specification, series and year in which the specification needs the series.
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
    from headlines
),

-- Years with at least one delivered value, by series and provider. They are read from the delivered records, because
-- the tables whose completeness is checked here are computed from these records.
delivered as (
    select distinct
        sources.series as quantity,
        sources.scope,
        sources.provider,
        record_values.year
    from {{ ref('int_series_delivered') }} as record_values
    inner join {{ ref('int_series_sources') }} as sources
        on
            record_values.series = sources.series
            and record_values.scope = sources.delivered_scope
            and record_values.provider = sources.provider
    where record_values.value is not null
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
            and inputs.series in (delivered.quantity, delivered.quantity || '@' || delivered.provider)
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

specification_floors as (
    select
        estimable.specification_id,
        required_cities.city_count,
        1 as observation_count
    from estimable
    cross join required_cities
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

-- Minimum number of rows per pair of series: the years in which headline specifications use both series.
pair_floors as (
    select
        pairs.series,
        pairs.scope,
        count(distinct firsts.year) as year_count
    from {{ ref('series_pairs') }} as pairs
    inner join due_years as firsts using (series, scope)
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

-- Minimum number of rows per table. fct_doubtful_values may only be empty if no value deviates from its neighbouring
-- years.
table_floors as (
    select
        'fct_deliveries' as table_name,
        count(*) as row_floor
    from deliveries
    union all
    select
        'int_source_checks' as table_name,
        count(*) as row_floor
    from deliveries
    where
        valid_until_delivery is null
        and copy_of_delivery is null
        and source_name is not null
    union all
    select
        'int_record_checks' as table_name,
        count(distinct struct_pack(entity, provider, city_id, year)) as row_floor
    from records
    where list_contains({{ var('counted_entities') }}, entity)
    union all
    select
        'fct_doubtful_values' as table_name,
        count(distinct struct_pack(series, scope, city_id)) as row_floor
    from values_off
    union all
    -- Expect at least one row per provider and year with counts of firms or inventions in the industry sections under
    -- study.
    select
        'int_cell_shapes' as table_name,
        count(distinct struct_pack(records.entity, records.provider, records.year)) as row_floor
    from records
    left join {{ ref('industries') }} as industries using (industry_code)
    where
        (records.entity = 'firm_survival' or (records.entity = 'patents' and records.patent_type = 'invention'))
        and (
            records.industry_code is null
            or industries.section in (select studied.section from {{ ref('industry_scopes') }} as studied)
        )
    union all
    -- int_province_steps and int_year_definitions compare the years of a series, so they may be empty if no series has
    -- two years.
    select
        'int_province_steps' as table_name,
        case when max(year_count) > 1 then 1 else 0 end as row_floor
    from series_floors
    union all
    select
        'int_year_definitions' as table_name,
        case when max(year_count) > 1 then 1 else 0 end as row_floor
    from series_floors
    union all
    select
        'int_source_tilts' as table_name,
        count(distinct outcomes.series || ' by ' || measures.series) as row_floor
    from headlines as outcomes
    inner join headlines as measures using (specification_id)
    where
        outcomes.role = 'outcome'
        and measures.role = 'measure'
    {%- for table in ['fct_city_year_panel', 'int_panel_consistency'] %}
    union all
    select
        '{{ table }}' as table_name,
        count(panel_years.year) * any_value({{ least_cities }}) as row_floor
    from city_counts
    left join panel_years on true
    {%- endfor %}
),

table_counts as (
    {%- for table, condition in [
        ('fct_deliveries', 'true'),
        ('int_source_checks', 'true'),
        ('int_record_checks', 'true'),
        ('fct_doubtful_values', 'true'),
        ('int_cell_shapes', 'true'),
        ('int_province_steps', 'true'),
        ('int_source_tilts', 'true'),
        ('int_year_definitions', 'true'),
        ('fct_city_year_panel', 'year in (select panel_years.year from panel_years)'),
        ('int_panel_consistency', 'year in (select panel_years.year from panel_years)')
    ] %}
    {% if not loop.first %}union all{% endif %}
    select
        '{{ table }}' as table_name,
        count(*) as row_count
    from {{ ref(table) }}
    where {{ condition }}
    {%- endfor %}
),

compared as (
    select
        table_floors.*,
        table_counts.row_count
    from table_floors
    inner join table_counts using (table_name)
    {%- set same_scope = 'floors.series = judged.series and floors.scope = judged.scope' %}
    {%- for table, floors, floor, counted, same in [
        ('int_series_corrected', 'series_floors', 'value_count', 'value', 'floors.quantity = judged.series'),
        ('int_series_years', 'series_floors', 'year_count', 'median_value', same_scope),
        ('int_series_shapes', 'series_floors', 'year_count', 'year', same_scope),
        ('int_series_pairs', 'pair_floors', 'year_count', 'year', same_scope),
        ('int_province_sums', 'province_floors', 'year_count', 'year', 'floors.series = judged.series')
    ] %}
    union all by name
    select
        '{{ table }}' as table_name,
        floors.series,
        floors.scope,
        floors.{{ floor }} as row_floor,
        count(judged.{{ counted }}) as row_count
    from {{ floors }} as floors
    left join {{ ref(table) }} as judged on {{ same }}
    group by floors.series, floors.scope, floors.{{ floor }}
    {%- endfor %}
    union all by name
    select
        'int_headline_samples' as table_name,
        floors.specification_id,
        floors.city_count as row_floor,
        count(judged.city_id) as row_count
    from specification_floors as floors
    left join {{ ref('int_headline_samples') }} as judged using (specification_id)
    group by floors.specification_id, floors.city_count
    union all by name
    select
        'int_specification_samples' as table_name,
        floors.specification_id,
        floors.observation_count as row_floor,
        count(case when samples.is_observation then 1 end) as row_count
    from specification_floors as floors
    inner join {{ ref('int_specifications_sampled') }} as specifications using (specification_id)
    left join {{ ref('int_specification_samples') }} as samples on specifications.sample_id = samples.sample_id
    group by floors.specification_id, floors.observation_count
),

final as (
    select
        table_name,
        specification_id,
        series,
        scope,
        cast(ceil(row_floor) as bigint) as row_floor,
        row_count
    from compared
)

select * from final
