"""The Python half of the warehouse: what its dbt Python models and its command line call."""
