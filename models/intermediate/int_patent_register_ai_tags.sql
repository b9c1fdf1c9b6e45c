{{ ai_tags('patent_register', id='application_number') }}
