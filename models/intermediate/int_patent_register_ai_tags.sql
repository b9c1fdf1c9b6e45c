{{ ai_tags('patent_register') }}
