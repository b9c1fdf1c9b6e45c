{{ register_cells('firm_register', cell_columns=['city_code', 'section', 'entry_year', 'exit_year']) }}
