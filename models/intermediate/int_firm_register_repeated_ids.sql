{{ config(materialized='incremental', incremental_strategy='append', pre_hook="{{ forget_files('firm_register') }}") }}

{{ repeated_ids('firm_register', id='firm_id') }}
