{{ printed_table('table_6', 2) }}
