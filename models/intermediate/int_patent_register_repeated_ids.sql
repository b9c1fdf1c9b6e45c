{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_files('patent_register') }}") }}

{{ repeated_ids('patent_register', id='application_number') }}
