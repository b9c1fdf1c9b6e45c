{{ printed_table('table_2', 3) }}
