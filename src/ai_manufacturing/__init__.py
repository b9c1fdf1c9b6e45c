"""The Python half of the warehouse: what its dbt Python models and its command line call."""

import os

# dbt runs two models at once; a BLAS with threads of its own then triples the time of a build on
# two cores.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
