{{ ai_tags('firm_register', id='firm_id') }}
