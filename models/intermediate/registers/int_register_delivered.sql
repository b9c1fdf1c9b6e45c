{{ config(materialized='view') }}

-- depends_on: {{ ref('raw_register_files') }}
{%- for entity in ['firm_register', 'patent_register'] %}
{%- for provider in var('register_providers')[entity] %}
-- depends_on: {{ ref('stg_' ~ provider ~ '__' ~ entity) }}
{%- endfor %}
{%- endfor %}

{#- Skip providers without files, because their views would read the files of other providers. #}
{%- set firms, patents = register_providers_at_hand('firm_register'), register_providers_at_hand('patent_register') %}

with

final as (
    {%- if not firms and not patents %}
    select
        cast(null as {{ dbt.type_string() }}) as entity,
        cast(null as {{ dbt.type_bigint() }}) as file_number,
        cast(null as {{ dbt.type_string() }}) as store_key,
        cast(null as {{ dbt.type_bigint() }}) as row_number,
        {%- for name in ['record_id', 'city_code', 'industry_code', 'ipc', 'kind', 'text'] %}
        cast(null as {{ dbt.type_string() }}) as {{ name }},
        {%- endfor %}
        {%- for name in ['start', 'end'] %}
        cast(null as date) as {{ name }}_date,
        cast(null as boolean) as has_{{ name }}_date,
        {%- endfor %}
        false as lacks_industry,
        false as lacks_exit
    where false
    {%- endif %}
    {%- for provider in firms %}
    select
        'firm_register' as entity,
        file_number,
        store_key,
        row_number,
        firm_id as record_id,
        city_code,
        industry_code,
        cast(null as {{ dbt.type_string() }}) as ipc,
        cast(null as {{ dbt.type_string() }}) as kind,
        established_date as start_date,
        has_established_date as has_start_date,
        exit_date as end_date,
        has_exit_date as has_end_date,
        business_scope as text,
        {%- set lacks = register_declaration(provider, 'firm_register').lacks %}
        {{ 'true' if 'industry' in lacks else 'false' }} as lacks_industry,
        {{ 'true' if 'exit' in lacks else 'false' }} as lacks_exit
    from {{ ref('stg_' ~ provider ~ '__firm_register') }}
    {%- if not loop.last or patents %}
    union all
    {%- endif %}
    {%- endfor %}
    {%- for provider in patents %}
    select
        'patent_register' as entity,
        file_number,
        store_key,
        row_number,
        application_number as record_id,
        city_code,
        industry_code,
        ipc,
        patent_type as kind,
        application_date as start_date,
        has_application_date as has_start_date,
        grant_date as end_date,
        has_grant_date as has_end_date,
        patent_text as text,
        false as lacks_industry,
        false as lacks_exit
    from {{ ref('stg_' ~ provider ~ '__patent_register') }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select * from final
