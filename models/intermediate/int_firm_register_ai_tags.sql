{{ ai_tags('firm_register') }}
