"""Python library behind the dbt models and the command line of the warehouse."""

import os

# Limit BLAS to one thread, because dbt runs two models in parallel. With multi-threaded BLAS in
# both models, a build on two cores would take three times as long.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
