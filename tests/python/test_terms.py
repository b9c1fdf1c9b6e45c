"""Test that public files contain no restricted value and name the provider instead."""

import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases.manifest import read_manifest
from ai_manufacturing.site import downloads
from ai_manufacturing.tables import exports
from tests.python.conftest import Build, made_once
from tests.python.release_store import read
from tests.python.site_reader import Page, pages_of, release

# Every value of Shenzhen is set to one of these numbers, depending on whether the provider is
# restricted.
RESTRICTED, OPEN = 98765432.125, 87654321.125
OPEN_SERIES = ("loans_100m_cny", "ln_loans")
# A data set name with special characters that LaTeX would interpret.
HOSTILE = "50 % & {all}_#1"
NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Tables that contain values of both providers.
SHOWN = {
    "marts.fct_city_year_panel",
    "marts.fct_city_year_values",
    "marts.fct_delivered_values",
    "release.series_values",
}
TABLES = "select concat(schema_name, '.', table_name) from duckdb_tables()"
NAMED = "vendor, licence: For subscribers; from A Vendor. A Vendor: city statistics."


class Known:
    """Values to search for in text, in any format with enough significant digits."""

    def __init__(self, values: list[float], digits: int) -> None:
        self.values, self.digits = {*values}, digits
        kept = range(digits, 18)
        self.rounded = {f"{value:.{count - 1}e}" for value in self.values for count in kept}

    def in_text(self, text: str) -> bool:
        for token in NUMBER.findall(text):
            number = token.replace(",", "")
            digits = re.split("[eE]", number)[0].replace(".", "").lstrip("0")
            kept = min(len(digits), 17)
            if kept >= self.digits and f"{float(number):.{kept - 1}e}" in self.rounded:
                return True
        return False


def texts(path: Path) -> Iterator[str]:
    """Yield the text of a published file, one string per table or archive member."""
    if path.suffix == ".parquet":
        yield duckdb.read_parquet(str(path)).df().to_csv()
    elif path.suffix == ".dta":
        yield pd.read_stata(path, convert_categoricals=False).to_csv()
    elif path.suffix == ".duckdb":
        for (name,) in read(path, TABLES):
            yield str(read(path, f"from {name}"))
    elif path.suffix in (".xlsx", ".docx"):
        with zipfile.ZipFile(path) as opened:
            for member in opened.namelist():
                yield opened.read(member).decode("utf-8", "ignore")
    elif path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes()).decode("utf-8", "ignore")
    else:
        yield path.read_text("utf-8", "ignore")


def tables_with(database: Path, value: float) -> set[str]:
    """Return the names of the database tables that contain an invented number."""
    found = f"as t where contains(cast(t as varchar), '{value:.0f}') limit 1"
    return {name for (name,) in read(database, TABLES) if read(database, f"from {name} {found}")}


def invent(few: Build, folder: Path) -> None:
    """Write a release of the sample with one restricted and one open provider."""
    path = release(few, folder, "delivered")
    with duckdb.connect(path) as connection:
        connection.execute("update release.manifest set extract_set = ?", [HOSTILE])
        connection.execute(
            "update marts.fct_deliveries set provenance_class = 'commercial_vendor', "
            "licence = 'For subscribers', publisher = 'A Vendor', may_be_passed_on = false, "
            "citation_en = 'A Vendor: city statistics.'; "
            "insert into marts.fct_deliveries by name select * replace ('open' as provider, "
            "'CC BY 4.0' as licence, true as may_be_passed_on) from marts.fct_deliveries limit 1"
        )
        for name in ("marts.dim_series", "marts.fct_delivered_values", "release.series_values"):
            is_open = f"series = '{OPEN_SERIES[0]}'"
            connection.execute(f"update {name} set provider = 'open' where {is_open}")
        # Insert rows into tables that are empty in the sample, so that the tests search them too.
        connection.execute(
            "insert into marts.fct_corrections by name select 'c999' as correction_id, "
            "'vendor' as provider, 'gdp_100m_cny' as series, 'total' as scope, "
            "'440300' as city_id, 2015 as year, 'multiply' as action, "
            f"{RESTRICTED} as delivered_value, {RESTRICTED} as value, 'a reason' as reason, "
            "'理由' as reason_zh"
        )
        connection.execute(
            "insert into release.changes by name select 'cell_changed' as change_kind, "
            "'440300' as city_id, 2015 as year, 'gdp_100m_cny' as column_name, "
            f"{RESTRICTED} as old_value, {RESTRICTED} as new_value"
        )
        failing = [{"gdp_growth_factor": RESTRICTED, "city_id": "440300", "year": 2015}]
        connection.execute(
            "update gates.gate_results set success = false, failing_row_count = 1, "
            "failing_rows = ? where suite = 'panel_consistency'",
            [json.dumps(failing)],
        )
        # The percentage in Great Expectations' result must not appear in a public copy.
        connection.execute(
            "update gates.gate_results set success = false, failing_row_count = 1, failing_rows ="
            " ?, validation_result = ? where suite = 'deliveries' and description like 'Every"
            " delivered file%'",
            [json.dumps(UNREAD), json.dumps({"unexpected_percent": 100 / 6})],
        )
        of_series = {
            "fct_city_year_values": "variable",
            "fct_delivered_values": "series",
            "series_values": "series",
        }
        for schema, table, column in connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() "
            "where data_type = 'DOUBLE' and schema_name in ('marts', 'release') "
            "and (schema_name, table_name) in (select (schema_name, table_name) "
            "from duckdb_columns() where column_name = 'city_id') "
            "and table_name not in ('dim_city', 'fct_corrections', 'changes')"
        ).fetchall():
            wide = f"'{column}'" if table == "fct_city_year_panel" else "''"
            connection.execute(
                f'update {schema}.{table} set "{column}" = case when '
                f"{of_series.get(table, wide)} in {OPEN_SERIES} then {OPEN} else {RESTRICTED} end "
                f"where city_id in ('440300', '110000') and \"{column}\" is not null"
            )
    terms.write_public_copy(path, folder / "public.duckdb")


UNREAD = [{"file_path": "city_yearbook/2021.csv", "remedy": "Declare, rename or remove it."}]


@pytest.fixture(scope="session")
def invented(few: Build, shared: Path) -> Path:
    """Return the folder that contains the invented release and its public copy."""
    folder = shared / "invented_release"
    return made_once(folder, partial(invent, few, folder))


def test_a_copy_to_give_away_its_pages_and_exports_hold_no_value_of_a_restricted_provider(
    invented: Path, tmp_path: Path
) -> None:
    assert tables_with(invented / "delivered.duckdb", RESTRICTED) >= SHOWN | {
        "gates.gate_results",
        "marts.dim_city_groups",
        "marts.fct_ai_measure",
        "marts.fct_corrections",
        "release.changes",
    }
    copy = invented / "public.duckdb"
    assert tables_with(copy, RESTRICTED) == set()
    assert tables_with(copy, OPEN) == SHOWN
    # The file that fails an expectation is named, without a percentage of its values.
    failed = "from gates.gate_results where suite = 'deliveries' and not success"
    unread = read(copy, f"select failing_rows, validation_result {failed}")
    assert unread == [(json.dumps(UNREAD), None)]
    # Columns without public values are dropped from the panel and listed as withheld.
    columns = "column_name in ('gdp_100m_cny', 'loans_100m_cny')"
    for column, place in (
        ("loans_100m_cny", "duckdb_columns() where table_name = 'fct_city_year_panel'"),
        ("loans_100m_cny", "marts.data_dictionary where table_name = 'fct_city_year_panel'"),
        (
            "gdp_100m_cny",
            "release.withheld where table_name = 'marts.fct_city_year_panel' and shown_count = 0",
        ),
    ):
        assert read(copy, f"select column_name from {place} and {columns}") == [(column,)], place
    # Copying a public copy must not withhold anything more.
    assert terms.write_public_copy(copy, tmp_path / "again.duckdb") == []
    exports.export(copy, tmp_path, "csv")
    page = pages_of(copy, with_restricted=False)
    written = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.csv")}
    for name in ("cities", "maps", "quality"):
        assert NAMED in page(name).text("//aside[@class='note withheld']")
        written[name] = page(name).markup
    for value, expected in ((RESTRICTED, set()), (OPEN, {"panel.csv", "cities"})):
        number = re.compile(f"{value:.0f}|{value:,.0f}")
        assert {name for name, text in written.items() if number.search(text)} == expected
    # Charts show open series by value, and restricted series by rank.
    assert [*page("cities").script("city-values")["providers"]] == ["loans_100m_cny"]


@pytest.mark.door
@pytest.mark.soak
def test_no_file_of_the_public_site_holds_a_delivered_value_and_the_other_site_says_so(
    given_away: Path, public_site: Path, public_build: Build
) -> None:
    """Search only for values with many digits, which an estimate cannot match by chance."""
    values = public_build.frame(
        "select delivered_value as value from marts.fct_delivered_values union all "
        "select unnest([gdp_100m_cny, ln_gdp, ln_secondary_employment, integration_index]) "
        "from marts.fct_city_year_panel"
    )["value"].dropna()
    told_apart = [one for one in values if len(f"{one:.10g}".replace(".", "").strip("0")) >= 9]
    known = Known(told_apart[:: max(1, len(told_apart) // 4000)], 8)
    assert len(known.values) > 3000
    files = [
        one for one in given_away.rglob("*.*") if one.is_file() and one.parent.name != "assets"
    ]
    assert [one for one in files if any(map(known.in_text, texts(one)))] == []
    assert not (given_away / "cities").exists()
    data = given_away / downloads.FOLDER
    assert not (data / "panel.csv").exists()
    # As a positive control, the search must find values on the site that includes restricted data.
    for name in (
        "cities/440300.js",
        "cities.html",
        "data/panel.csv",
        "data/panel.dta",
        "data/fct_delivered_values.parquet",
    ):
        assert any(map(known.in_text, texts(public_site / name))), name
    # Pages name the provider and licence of the withheld values.
    for name in ("cities", "maps", "quality", "use"):
        page = Page((given_away / f"{name}.html").read_text("utf-8"))
        said = page.text("//aside[@class='note withheld']")
        origin = "none stated by the republisher; from eileenCHEN-9/PhD_2022_2025 (GitHub)."
        assert f"(csmar), licence: {origin}" in said, name
    # Three downloads are withheld: Parquet, CSV and Stata.
    withheld = "#download/following-sibling::div[1]//td[starts-with(., 'withheld, see')]"
    assert len(page.all(withheld)) == 3
    package = json.loads((data / "datapackage.json").read_text("utf-8"))
    resources = {one["name"]: one for one in package["resources"]}
    for name in ("fct_city_year_panel", "fct_delivered_values"):
        described = resources[name]
        assert "csmar" in described["withheld"]
        assert described["description"].startswith("WITHHELD here: values of biechouwo, "), name


@pytest.mark.parametrize(
    ("provenance", "republished_by", "licence", "expected"),
    [
        ("official", None, "none stated", True),
        ("generated", None, "MIT", True),
        ("commercial_vendor", None, "none stated", False),
        ("commercial_vendor", None, "CC BY 4.0", True),
        ("commercial_vendor", None, "CC BY-NC 4.0", False),
        ("commercial_vendor", None, "MIT, as a fork's README states", False),
        ("commercial_vendor", "somebody", "CC BY 4.0", False),
        ("republished", None, "MIT", False),
        (None, None, None, False),
    ],
)
def test_terms_are_those_that_the_provider_declares(
    provenance: str | None, republished_by: str | None, licence: str | None, expected: bool
) -> None:
    """Landing adds the permission to each delivered file."""
    texts = {"provenance_class": provenance, "republished_by": republished_by, "licence": licence}
    columns = {name: pa.array([text], pa.string()) for name, text in texts.items()}
    delivered = pa.table(columns | {"may_be_passed_on": pa.array([expected])})
    unjudged = delivered.set_column(3, "may_be_passed_on", pa.nulls(1, pa.bool_()))
    assert terms.add_permissions(unjudged).equals(delivered)


def test_a_citation_of_a_set_of_any_name_is_bibtex(sample_release: Path) -> None:
    manifest = replace(read_manifest(sample_release), extract_set=HOSTILE)
    text = downloads.build_bibliography(manifest)
    assert text.startswith("@misc{ai_manufacturing_50______all___1_000001,\n")
    assert r"extract set 50 \% \& \{all\}\_\#1." in text
