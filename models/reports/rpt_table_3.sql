{{ printed_table('table_3', column_count=6) }}
