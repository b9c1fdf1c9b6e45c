{{ register_cells('patent_register') }}
