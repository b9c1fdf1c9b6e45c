{{ register_copies('patent_register', id='application_number', cell_columns=['city_code', 'section', 'patent_type', 'application_year', 'grant_year']) }}
