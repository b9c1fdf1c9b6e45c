-- The dictionary is stored in the schema of the marts, but built after the reports, because it also describes the
-- reports.
{{ config(schema='marts') }}

{%- set released = [
    'dim_city', 'dim_city_groups', 'dim_labels', 'dim_series', 'dim_specification_series', 'dim_variable',
    'fct_ai_measure', 'fct_city_year_panel', 'fct_city_year_values', 'fct_corrections', 'fct_deliveries', 'fct_delivered_values',
    'fct_doubtful_values', 'fct_register_placement', 'fct_register_rows_set_aside', 'fct_row_accounting', 'fct_rows_set_aside',
    'fct_source_pairs',
    'gate_results', 'gate_sources', 'gate_series', 'gate_second_route', 'judged_relations',
    'est_coefficients', 'est_second_route', 'est_route_differences', 'est_source_agreement', 'est_inference', 'est_influence', 'est_sensitivity',
    'est_permuted_weights', 'est_specification_curve', 'est_specification_curve_joint',
    'estimation_samples', 'observation_losses', 'rpt_city_standing', 'rpt_claims', 'rpt_claim_readings', 'rpt_credibility', 'rpt_findings', 'rpt_verdicts',
    'rpt_coefficients', 'rpt_column_specifications', 'rpt_heterogeneity',
    'rpt_replication_scorecard', 'rpt_specifications',
    'rpt_source_agreement', 'rpt_measure_reliability', 'rpt_specification_axes', 'rpt_table_cells'
] + var('paper_tables') %}

{#- Column properties from dbt's graph, which is empty during parsing. -#}
{%- set described, counts, years, panel_variables = [], {}, {}, [] %}
{%- set models = graph.get('nodes', {}).values() | selectattr('resource_type', 'equalto', 'model') %}
{%- for node in models if node.name in released + [this.name] %}
{%- set parents = [] %}
{#- Nearly every model reads raw_extract_set, so it is not listed as a parent. #}
{%- for parent in node.depends_on.nodes if not parent.endswith('.raw_extract_set') %}
{%- do parents.append(parent.split('.')[-1]) %}
{%- endfor %}
{#- A key is declared in meta.key or as a primary key; see docs/decisions/dbt_project.md. #}
{%- set constraints = node.constraints | selectattr('type', 'equalto', 'primary_key') %}
{%- set key = node.config.meta.key or constraints | map(attribute='columns') | first or [] %}
{%- do counts.update({node.name: []}) %}
{%- for column in node.columns.values() %}
{%- do counts[node.name].append('count(' ~ adapter.quote(column.name) ~ ')') %}
{%- if column.name == 'year' %}{% do years.update({node.name: true}) %}{% endif %}
{#- Each column of the panel is a variable, or a ratio of two variables. #}
{%- if node.name == 'fct_city_year_panel' %}
{%- for variable in column.meta.get('ratio') or [column.meta.get('variable') or column.name] %}
{%- do panel_variables.append({'column_name': column.name, 'variable': variable}) %}
{%- endfor %}
{%- endif %}
{#- Descriptions contain English and, after a blank line, Chinese. #}
{%- set texts = column.description.strip().split('\n\n') %}
{%- do described.append({
            'table_schema': node.schema,
            'table_name': node.name,
            'column_number': loop.index,
            'column_name': column.name,
            'declared_type': column.data_type,
            'unit': column.meta.get('unit'),
            'is_key': column.name in key,
            'is_kept': column.name in node.config.meta.kept_columns if node.config.meta.kept_columns else none,
            'description_en': texts[0] or none,
            'description_zh': texts[1] or none,
            'parents': parents | join(', ')
        }) %}
{%- endfor %}
{%- endfor %}

with

documented as (
    select
        unnest(
            from_json(
                {{ literal(tojson(described)) }},
                '[{
                    "table_schema": "varchar", "table_name": "varchar", "column_number": "integer",
                    "column_name": "varchar", "declared_type": "varchar", "unit": "varchar", "is_key": "boolean",
                    "is_kept": "boolean", "description_en": "varchar", "description_zh": "varchar", "parents": "varchar"
                }]'
            ),
            recursive := true
        )
),

-- Number of rows in each table, by year if the table has years, and number of non-null values in each column.
-- fct_register_rows_set_aside is excluded, because this view would scan all registers again.
counted as (
    {%- for name in released if name != 'fct_register_rows_set_aside' %}
    select
        '{{ name }}' as table_name,
        {{ 'year' if years[name] else 'cast(null as integer) as year' }},
        count(*) as row_count,
        [{{ counts[name] | join(', ') }}] as value_counts
    from {{ ref(name) }}
    {%- if years[name] %}
    group by year
    {%- endif %}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

measured as (
    select
        documented.table_name,
        documented.column_number,
        min(case when counted.value_counts[documented.column_number] > 0 then counted.year end) as first_year,
        max(case when counted.value_counts[documented.column_number] > 0 then counted.year end) as last_year,
        cast(sum(counted.row_count) as bigint) as row_count,
        1 - sum(counted.value_counts[documented.column_number]) / nullif(sum(counted.row_count), 0) as missing_share
    from documented
    inner join counted
        on documented.table_name = counted.table_name
    group by documented.table_name, documented.column_number
),

-- Series from which each variable of the panel is computed.
panel_series as (
    select
        variable as column_name,
        scope,
        unnest(string_split(series, ' ')) as series
    from {{ ref('dim_variable') }}
),

-- Labels of panel columns for which this extract set uses a substitute series.
panel_labels as (
    select
        'fct_city_year_panel' as table_name,
        name as column_name,
        label_en,
        label_zh,
        substitution
    from {{ ref('dim_labels') }}
    where
        kind in ('series', 'column')
        and substitution is not null
),

panel_sources as (
    select
        'fct_city_year_panel' as table_name,
        panel_series.column_name,
        {%- for column in [
            'provenance_class', 'publisher', 'republished_by', 'licence', 'citation_en', 'citation_zh'
        ] %}
        string_agg(distinct dim_series.{{ column }}, '; ' order by dim_series.{{ column }}) as {{ column }},
        {%- endfor %}
        string_agg(distinct dim_series.source_links, ' ' order by dim_series.source_links) as source_links,
        bool_or(dim_series.is_interpolated) as is_interpolated,
        string_agg(
            panel_series.series || ' (' || coalesce(dim_series.provider, 'not delivered') || ')', ', '
            order by panel_series.series asc
        ) as source
    from panel_series
    left join {{ ref('dim_series') }} as dim_series using (series, scope)
    group by panel_series.column_name
),

panel_variables as (
    select
        unnest(
            from_json(
                {{ literal(tojson(panel_variables)) }},
                '[{"column_name": "varchar", "variable": "varchar"}]'
            ),
            recursive := true
        )
),

-- Variables on which each panel column depends. Columns computed from an AI measure contain the measure's name, and
-- also depend on the measure's series.
panel_inputs as (
    select
        column_name,
        variable
    from panel_variables
    union
    select
        panel_variables.column_name,
        unnest([measures.base_series, measures.minus_series, measures.scaling_series]) as variable
    from panel_variables
    inner join {{ ref('measure_weightings') }} as measures
        on contains(panel_variables.variable, measures.measure || '_')
    where measures.weighting = '{{ var("default_measure").weighting }}'
),

panel_providers as (
    select distinct
        panel_inputs.column_name,
        unnest(string_split(city_year_values.delivered_by, ', ')) as provider
    from panel_inputs
    inner join {{ ref('fct_city_year_values') }} as city_year_values using (variable)
),

restricted_deliveries as (
    select
        provider,
        entity,
        licence
    from {{ ref('fct_deliveries') }}
    where
        provider is not null
        and not may_be_passed_on
),

-- Licence restrictions on each panel column. Counts computed from registers have a provider without deliveries, so the
-- restrictions of the registers apply.
restricting as (
    select
        panel_providers.column_name,
        restricted_deliveries.provider,
        restricted_deliveries.licence
    from panel_providers
    inner join restricted_deliveries
        on
            panel_providers.provider = restricted_deliveries.provider
            or (
                restricted_deliveries.entity in ('firm_register', 'patent_register')
                and panel_providers.provider not in (
                    select d.provider from {{ ref('fct_deliveries') }} as d
                    where d.provider is not null
                )
            )
),

panel_restrictions as (
    select
        'fct_city_year_panel' as table_name,
        column_name,
        string_agg(distinct provider, '; ' order by provider) as restricted_providers,
        string_agg(distinct licence, '; ' order by licence) as restricted_licences
    from restricting
    group by column_name
),

final as (
    select
        documented.* exclude (declared_type, parents),  -- noqa: RF02
        -- While this table is being built, the database catalogue does not contain its columns, so their declared types
        -- are used.
        coalesce(lower(catalogue.data_type), documented.declared_type) as data_type,
        coalesce(panel_labels.label_en, documented.description_en) as label_en,
        coalesce(panel_labels.label_zh, documented.description_zh) as label_zh,
        panel_labels.substitution,
        coalesce(panel_sources.source, documented.parents) as source,
        panel_sources.* exclude (table_name, column_name, source),
        panel_restrictions.restricted_providers,
        panel_restrictions.restricted_licences,
        measured.* exclude (table_name, column_number),
        {{ extract_set() }} as extract_set
    from documented
    left join measured using (table_name, column_number)
    left join panel_sources using (table_name, column_name)
    left join panel_restrictions using (table_name, column_name)
    left join panel_labels using (table_name, column_name)
    left join duckdb_columns() as catalogue
        on
            documented.table_schema = catalogue.schema_name
            and documented.table_name = catalogue.table_name
            and documented.column_name = catalogue.column_name
            and catalogue.database_name = current_database()
)

select * from final
order by table_schema, table_name, column_number
