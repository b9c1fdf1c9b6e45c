#!/bin/sh
# Builds everything from data/raw into rerun/: the warehouse, the tables of the paper and the files of data/.
# ENVIRONMENT names a folder with Python and the packages of code/requirements/run.txt; without it, one is made.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
mkdir -p rerun/landing rerun/output rerun/data
if [ -z "${ENVIRONMENT:-}" ]; then
    ENVIRONMENT=$here/rerun/environment
    "${PYTHON:-python3}" -m venv "$ENVIRONMENT"
    "$ENVIRONMENT/bin/python" -m pip install --quiet --require-hashes -r code/requirements/run.txt
    # an installed package would be found before the code, if it were not the code
    "$ENVIRONMENT/bin/python" -m pip install --quiet --no-deps --no-build-isolation ./code
fi
export PATH="$ENVIRONMENT/bin:$PATH" PYTHONPATH="$here/code/src" PYTHONDONTWRITEBYTECODE=1
export OPENBLAS_NUM_THREADS=1 GX_ANALYTICS_ENABLED=false
export DBT_PROJECT_DIR="$here/"{{ project }} DBT_PROFILES_DIR="$here/code"
export DBT_TARGET_PATH="$here/rerun/target" DBT_LOG_PATH="$here/rerun/logs"
export EXTRACTS_DIR="$here/data/raw/"{{ folder }} LANDING_DIR="$here/rerun/landing"
export WAREHOUSE_PATH="$here/rerun/warehouse.duckdb" CURVE_PERMUTATIONS={{ permutations }}
# The order of the deliveries, and the rows of files that later ones replaced.
if [ -d data/landing ]; then cp -R data/landing/. rerun/landing/; fi
cd {{ project }}
dbt --no-use-colors build
shown=$WAREHOUSE_PATH
{% if is_public %}
# The package shows rounded numbers, and no value that may not be passed on.
shown=$here/rerun/public.duckdb
python - "$WAREHOUSE_PATH" "$shown" "$LANDING_DIR" <<'PROGRAM'
import sys
from pathlib import Path

from ai_manufacturing.disclosure import terms

warehouse, shown, landing = map(Path, sys.argv[1:])
terms.write_public_copy(warehouse, shown, [landing])
PROGRAM
{% endif %}
for format in latex csv; do
    case $format in latex) out=output ;; *) out=data ;; esac
    ai-manufacturing export --format "$format" --database "$shown" --out "$here/rerun/$out"
done
python - "$shown" "$here/rerun/output" <<'PROGRAM'
import sys
from pathlib import Path

import duckdb

from ai_manufacturing.system import study_package

warehouse, folder = sys.argv[1:]
with duckdb.connect(warehouse, read_only=True) as connection:
    for name, query in {{ queries }}.items():
        connection.sql(query).write_csv(f"{folder}/{name}.csv")
for figure in {{ figures }}:
    study_package.load_module(figure).write_figure(Path(warehouse), Path(folder) / f"{figure}.svg")
PROGRAM
