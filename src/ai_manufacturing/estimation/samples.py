"""Drop singletons from the samples; iterative removal cannot be expressed in the SQL models."""

import pandas as pd
import pyarrow as pa

from ai_manufacturing.estimators.fixed_effects import find_rows_without_singletons

# Columns of int_specification_samples.
SAMPLES = pa.schema(
    [
        ("sample_id", pa.string()),
        ("city_id", pa.string()),
        ("year", pa.int32()),
        ("is_observation", pa.bool_()),
    ]
)


def without_singletons(rows: pd.DataFrame) -> pa.Table:
    """Drop singletons, city-years alone in their city or period, from all samples at once.

    Parameters
    ----------
    rows : DataFrame
        Rows of int_specification_city_years with is_used.

    Returns
    -------
    Table
        One row per remaining sample, city and year, with the columns of SAMPLES. Dynamic panels
        retain their singletons; rows that only provide lags and instruments have is_observation
        set to false.

    References
    ----------
    Correia (2015), "Singletons, cluster-robust standard errors and fixed effects".
    """
    static, dynamic = rows[~rows["is_dynamic"]], rows[rows["is_dynamic"]]
    cities, periods = (
        static.groupby(["sample_id", *names], dropna=False).ngroup().to_numpy()
        for names in (["city_id"], ["year", "period_group"])
    )
    remaining = pd.concat([static.iloc[find_rows_without_singletons(cities, periods)], dynamic])
    remaining = remaining.assign(is_observation=remaining["reason"].isna())
    return pa.Table.from_pandas(remaining[SAMPLES.names], schema=SAMPLES, preserve_index=False)
