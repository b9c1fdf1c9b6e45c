{{ register_copies('firm_register', id='firm_id', cell_columns=['city_code', 'section', 'entry_year', 'exit_year']) }}
