{{ kept_by_file('firm_register') }}

-- depends_on: {{ ref('int_register_files') }}
-- depends_on: {{ ref('ai_keywords') }}
{{ ai_candidates('firm_register') }}
