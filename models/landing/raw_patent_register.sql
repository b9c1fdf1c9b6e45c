{{ config(materialized='view') }}

-- depends_on: {{ ref('raw_deliveries') }}
{{ register_rows('patent_register') }}
