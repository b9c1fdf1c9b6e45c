{{ register_cells('patent_register', cell_columns=['city_code', 'section', 'patent_type', 'application_year', 'grant_year']) }}
