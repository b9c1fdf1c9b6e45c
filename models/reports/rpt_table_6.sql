{{ printed_table('table_6', column_count=2) }}
