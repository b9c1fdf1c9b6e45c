"""Small faults at randomly drawn places, and the share that the quick tests find.

Run `python -m tests.mutants --seed 1 --count 60`. The faults of `tests.planted_faults` were chosen
beside their finders, so they do not measure the reach of the tests. mutmut and cosmic-ray change no
SQL or data, remove no guards, swap no columns, and do not draw by stratum.
"""
