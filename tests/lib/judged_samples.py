"""Run the gate's check models and expectation suites on simulated data in memory."""

from collections.abc import Collection, Sequence
from functools import cache

import numpy as np
import pandas as pd

from ai_manufacturing.gate import suites, validation
from ai_manufacturing.paper.synthetic import CityYears, draw_city_years
from ai_manufacturing.paper.synthetic.files import Cells
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.settings import period
from tests.lib import in_memory, samples

FIRST_SEED = 600_000
CHECKED = {
    "series_shapes": "gate/int_series_shapes",
    "series_pairs": "gate/int_series_pairs",
    "series_years": "gate/int_series_years",
    "units": "gate/int_series_years",
    "province_sums": "gate/int_province_sums",
    "year_definitions": "gate/int_year_definitions",
    "doubtful_values": "marts/fct_doubtful_values",
    "province_steps": "gate/int_province_steps",
    "source_tilts": "gate/int_source_tilts",
}
"""The model that each suite checks."""

CELL_CHECKED = {
    "cell_shapes": "gate/measure/int_cell_shapes",
    "firm_survival": "gate/measure/int_record_checks",
    "patents": "gate/measure/int_record_checks",
}
"""The model that each suite of a provider's city-industry cells checks."""

SEEDS = (
    "expected_coverage",
    "industries",
    "industry_scopes",
    "regression_specifications",
    "series_pairs",
    "series",
    "series_events",
    "series_sources",
    "value_checks",
)
FIRM_COLUMNS = (
    "firm_count",
    "firm_entry_count",
    "firm_exit_count",
    "ai_firm_count",
    "ai_firm_entry_count",
    "ai_firm_exit_count",
)
PATENT_COLUMNS = ("application_count", "grant_count", "ai_application_count", "ai_grant_count")
PATENT_TYPES = {"发明": "invention", "实用新型": "utility_model", "外观设计": "design"}
MISSING = -1
"""Value of a count that was not delivered."""
NONE_DECLARED = (
    "create table raw_extract_set (declared_revisions struct(provider varchar, series varchar,"
    " scope varchar, first_year integer, last_year integer)[])"
)
CODES = {"city_id": str, "province_id": str}
CITIES_OF_A_CHANGE = {"from_city_id": str, "to_city_id": str}
NUMBERS = ["first_value", "second_value", "first_ln", "second_ln"]
PAIRS = ["series", "scope", "first_provider", "second_provider", "city_id", "year", *NUMBERS]
# Maps simulated series to their names in the warehouse, if the two names differ.
DRAWN = {
    "primary_100m_cny": "primary_value_added_100m_cny",
    "secondary_100m_cny": "secondary_value_added_100m_cny",
    "tertiary_100m_cny": "tertiary_value_added_100m_cny",
    "rd_personnel": "rd_personnel_count",
    "fdi_million_usd": "fdi_1m_usd",
}


def conformed(drawn: CityYears, stated: CityYears | None = None) -> pd.DataFrame:
    """Return a simulated sample in the columns of int_series_conformed, in long format.

    Province totals come from `stated` if it is given, else from the sample itself.
    """
    cells = pd.MultiIndex.from_product(
        [read_units()["city_id"], drawn.years], names=["city_id", "year"]
    )
    counts = {
        "firm_count": drawn.firms,
        "ai_firm_count": drawn.ai_firms.stock,
        "ai_firm_entry_count": drawn.ai_firms.entries,
        "ai_firm_exit_count": drawn.ai_firms.exits,
        "invention_application_count": drawn.applications.total,
        "invention_grant_count": drawn.grants.total,
        "ai_invention_application_count": drawn.applications.ai,
        "ai_invention_grant_count": drawn.grants.ai,
    }
    yearbook = {DRAWN.get(name, name): values for name, values in drawn.yearbook.items()}
    frame = cells.to_frame(index=False)
    in_yearbook = np.repeat(drawn.in_yearbook, len(drawn.years))
    rows = [
        *(
            frame.assign(series=name, scope="industry", value=values.ravel())
            for name, values in counts.items()
        ),
        *(
            frame.assign(series=name, scope="total", value=values.ravel())[in_yearbook]
            for name, values in yearbook.items()
        ),
    ]
    rows.append(province_gdp(stated or drawn, frame[in_yearbook]))
    found = pd.concat(rows, ignore_index=True).astype({"value": float})
    return found.assign(quantity=found["series"], provider="vendor", is_spliced=False)


def province_gdp(drawn: CityYears, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the GDP of each province, repeated for each of the province's cities.

    Provinces with a single city are left out: their total would equal the city's value, like a
    total that was copied from a city.
    """
    gdp = cells.assign(value=drawn.yearbook["gdp_100m_cny"][drawn.in_yearbook].ravel())
    provinces = gdp["city_id"].map(read_units().set_index("city_id")["province_id"])
    by_province = gdp.groupby([provinces, "year"])["value"]
    totals = cells.assign(
        series="province_gdp_100m_cny", scope="total", value=by_province.transform("sum")
    )
    return totals[by_province.transform("size") > 1]


def records(firms: Cells, patents: Cells) -> pd.DataFrame:
    """Return counts by city and industry in the columns of int_records_conformed."""
    found = pd.concat(
        [
            _records(firms, FIRM_COLUMNS, "firm_survival"),
            _records(patents, PATENT_COLUMNS, "patents"),
        ],
        ignore_index=True,
    )
    return found.assign(county_code=None, set_aside_reason=None)


def _records(cells: Cells, columns: Sequence[str], entity: str) -> pd.DataFrame:
    unit, part, year = np.nonzero((cells.counts > 0).any(axis=0))
    labels = cells.labels.iloc[part]
    counts = {}
    for name, values in zip(columns, cells.counts, strict=True):
        column = pd.array(values[unit, part, year], dtype="Int64")
        column[column == MISSING] = pd.NA
        counts[name] = column
    types = labels["专利类型"].map(PATENT_TYPES).to_numpy() if "专利类型" in labels else None
    return pd.DataFrame(
        {
            "entity": entity,
            "provider": "vendor",
            "source_name": entity,
            "city_id": read_units()["city_id"].to_numpy()[unit],
            "year": np.array(period())[year],
            "industry_code": labels["行业代码"].to_numpy(),
            "patent_type": types,
            **counts,
        }
    )


def source_pairs(first: pd.DataFrame, second: pd.Series) -> pd.DataFrame:
    """Pair a series with a second provider's values, in the columns of fct_source_pairs."""
    found = first.assign(
        first_value=first["value"],
        second_value=second,
        first_provider="vendor",
        second_provider="another",
    ).dropna(subset=["first_value", "second_value"])
    return found.assign(
        first_ln=np.log(found["first_value"]), second_ln=np.log(found["second_value"])
    )[PAIRS]


def checked(
    series: pd.DataFrame,
    used: pd.DataFrame,
    pairs: pd.DataFrame | None = None,
    records: pd.DataFrame | None = None,
    only: Collection[str] | None = None,
) -> dict[str, pd.DataFrame]:
    """Run the gate's check models on series in memory.

    Parameters
    ----------
    series : DataFrame
        int_series_conformed.
    used : DataFrame
        dim_specification_series.
    pairs : DataFrame, optional
        fct_source_pairs. By default no series has a second source.
    records : DataFrame, optional
        int_records_conformed. By default no cells are checked.
    only : collection of str, optional
        Suites to compute check models for. The default is every suite that the tables allow.

    Returns
    -------
    dict of str to DataFrame
        The check model of each suite.
    """
    none = pd.DataFrame(columns=PAIRS).astype(dict.fromkeys(NUMBERS, float) | {"year": int})
    with duckdb_client.connect(reads_files=True) as connection:
        for name, frame in (
            ("int_series_conformed", series),
            ("int_series_sourced", series.assign(absent_row=None)),
            ("dim_specification_series", used),
            ("fct_source_pairs", none if pairs is None else pairs),
            *((name, samples.seed_table(name)) for name in SEEDS),
            ("cities", samples.seed_table("cities").astype(CODES)),
            ("city_changes", samples.seed_table("city_changes").astype(CITIES_OF_A_CHANGE)),
            ("dim_city", samples.seed_table("cities").astype(CODES)),
        ):
            in_memory.create(connection, name, frame)
        connection.execute(NONE_DECLARED)
        if records is not None:
            in_memory.create(connection, "int_records_conformed", records)
            # Set the type, because columns that contain only nulls are created as text.
            for name in (*FIRM_COLUMNS, *PATENT_COLUMNS):
                connection.execute(f"alter table int_records_conformed alter {name} type bigint")
        models = CHECKED if records is None else CHECKED | CELL_CHECKED
        if only is not None:
            models = {suite: model for suite, model in models.items() if suite in only}
        needed = [
            "intermediate/int_series_sources",
            "intermediate/int_series_events",
            "gate/int_shown_series",
        ]
        if {"doubtful_values", "year_definitions"} & {*models}:
            needed += [
                "intermediate/int_value_deviations",
                "intermediate/int_ratio_definitions",
                "intermediate/int_value_marks",
                "intermediate/int_city_boundary_changes",
            ]
        for model in (*needed, *dict.fromkeys(models.values())):
            in_memory.run(connection, model)
        return {
            suite: connection.table(model.rpartition("/")[2]).df()
            for suite, model in models.items()
        }


def judged(found: dict[str, pd.DataFrame], used: pd.DataFrame) -> pd.DataFrame:
    """Validate the tables of check models with their expectation suites, as the gate does.

    Parameters
    ----------
    found : dict of str to DataFrame
        Check models by suite, as `checked` returns them.
    used : DataFrame
        dim_specification_series.

    Returns
    -------
    DataFrame
        Rows in the form of gates.gate_results.
    """
    years = validation.list_headline_years(used)
    with duckdb_client.connect() as connection:
        results = pd.concat(
            validation.validate(
                connection.from_df(table).filter(suites.read_suite(suite).judges.where).df(),
                suite,
                years,
            ).to_pandas()
            for suite, table in found.items()
        )
    # Of the series_years suite, keep only this expectation. The others check levels and coverage,
    # which simulated data cannot meet.
    is_of_shares = results["arguments"].str.contains("gaining_cities")
    return results[is_of_shares | (results["suite"] != "series_years")]


@cache
def used_series() -> pd.DataFrame:
    """Return dim_specification_series for simulated data; it does not depend on the random seed."""
    return samples.inputs(draw_city_years(FIRST_SEED, period())).series
