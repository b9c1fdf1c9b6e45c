{{ register_cells('firm_register') }}
