"""Re-estimate the regressions of a new build on the years of the published release."""

from collections.abc import Mapping

from duckdb import DuckDBPyConnection

from ai_manufacturing.estimation import inputs, samples, specifications, tables


def reestimate_columns(
    warehouse: DuckDBPyConnection, years: Mapping[str, tuple[int, int]]
) -> dict[tuple[str, str], float]:
    """Re-estimate specifications on the given years; return estimates by specification and term.

    Parameters
    ----------
    warehouse : DuckDBPyConnection
        A warehouse that dbt built.
    years : mapping of str to tuple of int
        First and last year with an observation, by specification. A dynamic panel also uses earlier
        rows for its lags and instruments.
    """
    names = [*years]
    rows = warehouse.table(inputs.RELATIONS["specifications"]).df()
    city_years = warehouse.table("intermediate.int_specification_city_years").filter("is_used").df()
    # Specifications may have different years here, so give each specification its own sample.
    city_years = rows.loc[
        rows["specification_id"].isin(names), ["specification_id", "sample_id"]
    ].merge(city_years)
    first, last = (
        city_years["specification_id"].map({name: years[name][end] for name in names})
        for end in (0, 1)
    )
    city_years = city_years[
        (city_years["year"] <= last)
        & ((city_years["year"] >= first) | city_years["reason"].notna())
    ]
    city_years["sample_id"] = city_years["specification_id"]
    rows = rows.assign(sample_id=rows["specification_id"])
    sample = inputs.read_warehouse_inputs(
        warehouse, specifications=rows, samples=samples.drop_singletons(city_years).to_pandas()
    )
    chosen = specifications.read_specifications(rows[rows["specification_id"].isin(names)])
    coefficients = (
        tables.estimate_coefficients(chosen, sample).to_pandas().dropna(subset="estimate")
    )
    return {
        (row.specification_id, row.term): float(row.estimate) for row in coefficients.itertuples()
    }
