"""Land firm and patent registers, and run the models downstream of them without dbt.

At compile time dbt writes the paths of landed files into the staging models. Here the paths replace
those in the models that dbt compiled for the sample, which has no register.
"""

import re

import duckdb

from tests.python import models
from tests.python.conftest import Build

ENTITIES = ("firm_register", "patent_register")
DELIVERED = "int_register_delivered"


def count(build: Build, *targets: str, firms_of: str = "vendor") -> models.Run:
    """Land the register files of a build, and run the given models on their rows.

    Parameters
    ----------
    build : Build
        A build with registers in its extracts folder, and seeds in its warehouse.
    *targets : str
        Names of models.
    firms_of : str
        The provider whose firms the folder contains.
    """
    build.models("raw_register_files", "raw_register_paths")
    query = rows_of(build, firms_of)
    with duckdb.connect(str(build.warehouse)) as connection:
        connection.execute("create schema if not exists intermediate")
        connection.execute(f"create or replace view intermediate.{DELIVERED} as {query}")
    return build.models(*targets, edited=(DELIVERED,))


def rows_of(build: Build, firms_of: str) -> str:
    """Return the SQL query of all register rows, as dbt would compile it for the landed files."""
    final = build.compiled(DELIVERED).partition("final as (")[2]
    if firms_of != "vendor":
        # The crawled register is declared to lack industries and exit dates.
        for lacking in ("industry", "exit"):
            final = final.replace(f"false as lacks_{lacking}", f"true as lacks_{lacking}", 1)
    parts = []
    for entity, provider in zip(ENTITIES, (firms_of, "vendor"), strict=True):
        final = final.replace(f"__dbt__cte__stg_vendor__{entity}", entity)
        parts.append(f"{entity} as ({staged(build, provider, entity)})")
    return f"with {', '.join(parts)}, final as ({final}"


def staged(build: Build, provider: str, entity: str) -> str:
    """Return the compiled staging query of a register, with the paths of the landed files."""
    files = build.rows(
        "select file_number, store_key from raw.raw_register_files where provider = ? and entity ="
        " ? order by 1",
        provider,
        entity,
    )
    query = build.compiled(f"stg_{provider}__{entity}")
    (declared,) = re.findall(r"read_parquet\(\['([^']*)'", query)
    paths = [
        declared,
        *(f"{build.environment['LANDING_DIR']}/{key}/rows.parquet" for _, key in files),
    ]
    query = re.sub(r"read_parquet\(\[.*?\]", lambda _: f"read_parquet({paths}", query)
    first = files[0][0] - 1 if files else 0
    return query.replace(
        "cast(file_index as integer) + 0", f"cast(file_index as integer) + {first}"
    )
