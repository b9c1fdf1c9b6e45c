{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_files('firm_register') }}") }}

-- depends_on: {{ ref('int_register_files') }}
-- depends_on: {{ ref('ai_keywords') }}
{{ ai_candidates('firm_register', id='firm_id', text='business_scope', cell_columns=['city_code', 'section', 'entry_year', 'exit_year']) }}
