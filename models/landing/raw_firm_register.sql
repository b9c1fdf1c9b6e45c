{{ config(materialized='view') }}

-- depends_on: {{ ref('raw_register_files') }}
{{ register_rows('firm_register') }}
