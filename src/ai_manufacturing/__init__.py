"""Python package of the warehouse, for its dbt Python models and its command line."""

import os

# dbt runs two models in parallel. Multi-threaded BLAS in each of them would triple the time of a
# build on two cores.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
