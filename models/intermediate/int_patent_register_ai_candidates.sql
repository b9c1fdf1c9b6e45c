{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_files('patent_register') }}") }}

-- depends_on: {{ ref('int_register_files') }}
-- depends_on: {{ ref('ai_keywords') }}
{{ ai_candidates('patent_register', id='application_number', text='patent_text', cell_columns=['city_code', 'section', 'patent_type', 'application_year', 'grant_year']) }}
