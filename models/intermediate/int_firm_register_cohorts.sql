{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_files('firm_register') }}") }}

{{ register_cohorts('firm_register', cell_columns=['city_code', 'section', 'entry_year', 'exit_year']) }}
