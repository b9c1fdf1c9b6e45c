"""Mutation testing: plant random faults in the project, and count those that tests find.

`tests.planted_faults` plants faults that were written beside their tests, so it cannot measure how
far the tests reach. mutmut and cosmic-ray do not change SQL or data, do not remove guards, do not
swap columns, and do not draw by stratum.
"""
