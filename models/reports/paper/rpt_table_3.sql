{{ printed_table('table_3', 6) }}
