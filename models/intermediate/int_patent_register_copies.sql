{{ register_copies('patent_register') }}
