{{ printed_table('table_2', column_count=3) }}
