{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_files('patent_register') }}") }}

{{ register_cohorts('patent_register', cell_columns=['city_code', 'section', 'patent_type', 'application_year', 'grant_year']) }}
