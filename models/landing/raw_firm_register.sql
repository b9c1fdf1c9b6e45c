{{ config(materialized='view') }}

-- depends_on: {{ ref('raw_deliveries') }}
{{ register_rows('firm_register') }}
