"""Remove singleton observations from the regression samples.

This is done in Python, because the removal is repeated until no singleton remains, which the SQL
models cannot express.
"""

import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimators.fixed_effects import find_rows_without_singletons

# Columns of int_specification_samples.
SAMPLE_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("city_id", pa.string()),
        ("year", pa.int32()),
        ("is_observation", pa.bool_()),
    ]
)


def drop_singletons(rows: pd.DataFrame) -> pa.Table:
    """Drop singletons, that is, city-years alone in their city or period, from every sample.

    Parameters
    ----------
    rows : DataFrame
        Rows of int_specification_city_years with is_used.

    Returns
    -------
    Table
        One row per remaining sample, city and year, with the columns of SAMPLE_SCHEMA. Dynamic
        panels retain their singletons; rows that only provide lags and instruments have
        is_observation set to false.

    References
    ----------
    Correia (2015), "Singletons, cluster-robust standard errors and fixed effects".
    """
    static_rows, dynamic_rows = rows[~rows["is_dynamic"]], rows[rows["is_dynamic"]]
    cities, periods = (
        static_rows.groupby(["sample_id", *names], dropna=False).ngroup().to_numpy()
        for names in (["city_id"], ["year", "period_group"])
    )
    sample_rows = pd.concat(
        [static_rows.iloc[find_rows_without_singletons(cities, periods)], dynamic_rows]
    )
    sample_rows = sample_rows.assign(is_observation=sample_rows["reason"].isna())
    return pa.Table.from_pandas(
        sample_rows[SAMPLE_SCHEMA.names], schema=SAMPLE_SCHEMA, preserve_index=False
    )
