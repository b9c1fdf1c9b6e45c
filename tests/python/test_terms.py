"""What may not be passed on is in no file that is given away, and is named where it would have stood."""

import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from ai_manufacturing import site, terms
from ai_manufacturing.site import downloads
from tests.python import site_reader
from tests.python.conftest import Build, made_once
from tests.python.site_reader import Reader

# In the invented set all numbers of Shenzhen are one of these two: of the restricted provider, and of the open one.
RESTRICTED, OPEN = 98765432.125, 87654321.125
OPEN_SERIES = ("loans_100m_cny", "ln_loans")
HOSTILE = "50 % & {all}_#1"  # a name that LaTeX would take for commands
NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


class Known:
    """Values to look for, in whatever number of digits a file has them."""

    def __init__(self, values: list[float], digits: int) -> None:
        self.exact = np.array(sorted({*values}))
        self.digits = digits
        self.rounded = {f"{value:.{kept - 1}e}" for value in self.exact for kept in range(digits, 18)}

    def in_text(self, text: str) -> bool:
        for token in NUMBER.findall(text):
            digits = token.replace(",", "").partition("e")[0].partition("E")[0].replace(".", "").lstrip("0")
            if len(digits) >= self.digits:
                number = f"{float(token.replace(',', '')):.{min(len(digits), 17) - 1}e}"
                if number in self.rounded:
                    return True
        return False

    def in_frame(self, frame: pd.DataFrame) -> bool:
        numbers = frame.select_dtypes("number")
        texts = {text for name in frame.columns.difference(numbers.columns) for text in map(str, frame[name].unique())}
        return bool(np.isin(numbers.to_numpy(float, na_value=np.nan), self.exact).any()) or self.in_text(
            "\n".join(texts)
        )


def frames(path: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables of a file of rows."""
    if path.suffix == ".parquet":
        yield path.name, duckdb.read_parquet(str(path)).df()
    elif path.suffix == ".dta":
        yield path.name, pd.read_stata(path, convert_categoricals=False)
    else:
        with duckdb.connect(str(path), read_only=True) as connection:
            for schema, table in connection.execute("select schema_name, table_name from duckdb_tables()").fetchall():
                yield f"{path.name}: {schema}.{table}", connection.execute(f'from "{schema}"."{table}"').df()


def holders(folder: Path, known: Known) -> set[str]:
    """Return the files, and of DuckDB the tables, that hold a known value."""
    found = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        if path.suffix in (".parquet", ".dta", ".duckdb"):
            found |= {where for where, frame in frames(path) if known.in_frame(frame)}
        elif path.suffix in (".xlsx", ".docx"):
            with zipfile.ZipFile(path) as opened:
                texts = [opened.read(member).decode("utf-8", "ignore") for member in opened.namelist()]
            found |= {name} if any(map(known.in_text, texts)) else set()
        elif path.parent.name != "assets" and known.in_text(content.decode("utf-8", "ignore")):
            found.add(name)
    return found


def invented(light_build: Build, folder: Path) -> Path:
    """Return a release of the sample in which one provider is restricted and another is not."""
    path = site_reader.release(light_build, folder, "delivered")
    with duckdb.connect(str(path)) as connection:
        connection.execute("update release.manifest set extract_set = ?", [HOSTILE])
        connection.execute(
            "update marts.fct_deliveries set provenance_class = 'commercial_vendor', licence = 'For subscribers', "
            "publisher = 'A Vendor', citation_en = 'A Vendor: city statistics.'"
        )
        connection.execute(
            "insert into marts.fct_deliveries by name select * replace ('open' as provider, 'CC BY 4.0' as licence) "
            "from marts.fct_deliveries limit 1"
        )
        connection.execute(f"update marts.dim_series set provider = 'open' where series = '{OPEN_SERIES[0]}'")
        for name, condition in (
            ("marts.fct_delivered_values", f"series = '{OPEN_SERIES[0]}'"),
            ("release.series_values", f"series = '{OPEN_SERIES[0]}'"),
        ):
            connection.execute(f"update {name} set provider = 'open' where {condition}")
        # what the sample has no rows of
        connection.execute(
            "insert into marts.fct_corrections by name select 'c999' as correction_id, 'vendor' as provider, "
            "'gdp_100m_cny' as series, 'total' as scope, '440300' as city_id, 2015 as year, 'multiply' as action, "
            f"{RESTRICTED} as delivered_value, {RESTRICTED} as value, 'a reason' as reason, '理由' as reason_zh"
        )
        connection.execute(
            "insert into release.changes by name select 'cell_changed' as change_kind, '440300' as city_id, "
            f"2015 as year, 'gdp_100m_cny' as column_name, {RESTRICTED} as old_value, {RESTRICTED} as new_value"
        )
        connection.execute(
            "update gates.gate_results set success = false, failing_row_count = 1, failing_rows = ? "
            "where suite = 'panel_consistency'",
            [json.dumps([{"gdp_growth_factor": RESTRICTED, "city_id": "440300", "year": 2015}])],
        )
        for schema, table, column in connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where data_type = 'DOUBLE' "
            "and schema_name in ('marts', 'release') and (schema_name, table_name) in "
            "(select (schema_name, table_name) from duckdb_columns() where column_name = 'city_id') "
            "and table_name not in ('dim_city', 'fct_corrections', 'changes')"
        ).fetchall():
            series = {
                "fct_city_year_panel": f"'{column}'",
                "fct_city_year_values": "variable",
                "fct_delivered_values": "series",
                "series_values": "series",
            }.get(table, "''")
            connection.execute(
                f'update {schema}.{table} set "{column}" = case when {series} in {OPEN_SERIES} then {OPEN} '
                f"else {RESTRICTED} end where city_id in ('440300', '110000') and \"{column}\" is not null"
            )
    return path


@pytest.fixture(scope="session")
def invented_site(light_build: Build, shared: Path) -> Path:
    folder = shared / "invented_site"
    made_once(folder, lambda: site.build(invented(light_build, folder), folder / "site"))
    return folder / "site"


@pytest.fixture(scope="session")
def given_away(public_site: Path, shared: Path) -> Path:
    """Return the site of the public set as it is by default, beside that behind a door."""
    folder = shared / "given_away"
    made_once(folder, lambda: site.build(public_site.parent / "delivered.duckdb", folder / "site"))
    return folder / "site"


def test_no_file_of_a_site_holds_a_value_of_a_restricted_provider_and_an_open_one_loses_nothing(
    invented_site: Path,
) -> None:
    whole = invented_site.parent / "delivered.duckdb"
    assert {name.partition(": ")[2] for name, frame in frames(whole) if Known([RESTRICTED], 6).in_frame(frame)} >= {
        "gates.gate_results",
        "marts.dim_city_groups",
        "marts.fct_ai_measure",
        "marts.fct_city_year_panel",
        "marts.fct_city_year_values",
        "marts.fct_corrections",
        "marts.fct_delivered_values",
        "release.changes",
        "release.series_values",
    }
    assert holders(invented_site, Known([RESTRICTED], 6)) == set()
    assert holders(invented_site, Known([OPEN], 6)) == {
        "ai_manufacturing.duckdb: marts.fct_city_year_panel",
        "ai_manufacturing.duckdb: marts.fct_city_year_values",
        "ai_manufacturing.duckdb: marts.fct_delivered_values",
        "ai_manufacturing.duckdb: release.series_values",
        "cities.html",
        "cities/110000.js",
        "data/ai_manufacturing.xlsx",
        "data/panel.csv",
        "fct_city_year_panel.parquet",
        "fct_city_year_values.parquet",
        "fct_delivered_values.parquet",
        "panel.dta",
    }


def test_no_file_of_the_public_site_holds_a_delivered_value_and_the_site_behind_a_door_says_that_it_does(
    given_away: Path, public_site: Path, public_build: Build
) -> None:
    """Values that eight digits tell from other numbers: of these, no estimate is one by chance."""
    values = public_build.frame(
        "select delivered_value as value from marts.fct_delivered_values union all "
        "select unnest([gdp_100m_cny, ln_gdp, ln_secondary_employment, integration_index]) "
        "from marts.fct_city_year_panel"
    )["value"].dropna()
    told_apart = [value for value in values if len(f"{value:.10g}".replace(".", "").strip("0")) >= 9]
    known = Known(told_apart[:: max(1, len(told_apart) // 4000)], 8)
    assert len(known.exact) > 3000
    assert holders(given_away, known) == set()
    assert not (given_away / "cities").exists()
    assert not (given_away / "data" / "panel.csv").exists()
    marked = [page.name for page in public_site.glob("*.html") if 'id="restricted-mark"' in page.read_text("utf-8")]
    assert sorted(marked) == sorted(page.name for page in public_site.glob("*.html"))
    assert "csmar" in (public_site / "index.html").read_text("utf-8")
    # what is looked for is what such a site holds
    for name in ("cities/440300.js", "cities.html", "data/panel.csv"):
        assert known.in_text((public_site / name).read_text("utf-8")), name
    for name in ("panel.dta", "fct_delivered_values.parquet"):
        assert any(known.in_frame(frame) for _, frame in frames(public_site / "data" / name))


def test_what_is_withheld_is_named_at_its_place_with_provider_licence_and_source(
    reader: Reader, given_away: Path, invented_site: Path
) -> None:
    named = re.compile(r"csmar, licence: none stated by the republisher; from eileenCHEN-9/PhD_2022_2025 \(GitHub\)\.")
    for name in ("cities", "maps", "quality", "use"):
        page = reader.open(given_away, name)
        assert named.search(page.locator("aside.withheld").inner_text()), name
    assert page.locator("#download + aside + div td", has_text="withheld").count() == 3  # Parquet, CSV and Stata
    # estimates and sums over cities stay
    assert reader.open(given_away, "maps").locator("#figure-clusters svg").count() == 1
    assert reader.open(given_away, "maps").locator("[aria-labelledby=local] tbody tr").count() > 1
    for name in ("fct_city_year_panel", "fct_delivered_values"):
        described = json.loads((given_away / "data" / f"{name}.json").read_text("utf-8"))
        assert "csmar" in described["withheld"]
        assert described["description"].startswith("WITHHELD here: values of biechouwo, ")
    with duckdb.connect(str(given_away / "data" / downloads.RELEASE), read_only=True) as connection:
        rows = connection.execute(
            "select row_count from release.withheld where table_name = 'marts.fct_delivered_values'"
        ).fetchall()
        (source,) = connection.execute(
            "select source from marts.data_dictionary where table_name = 'fct_city_year_panel' "
            "and column_name = 'gdp_100m_cny'"
        ).fetchone()
    assert rows[0][0] > 25_856
    assert source == "gdp_100m_cny (biechouwo); withheld here"
    page = reader.open(invented_site, "cities", "?city=440300")
    text = page.locator("aside.withheld").inner_text()
    assert "vendor, licence: For subscribers; from A Vendor. A Vendor: city statistics." in text
    assert page.locator("figure.chart").count() == 1
    assert page.locator("#figure-loans_100m_cny svg").count() == 1
    assert reader.complaints == []


def test_terms_are_those_that_the_provider_declares() -> None:
    rows = [
        ("official", None, "none stated", True),
        ("generated", None, "MIT", True),
        ("commercial_vendor", None, "none stated", False),
        ("commercial_vendor", None, "CC BY 4.0", True),
        ("commercial_vendor", None, "CC BY-NC 4.0", False),
        ("commercial_vendor", None, "MIT, as a fork's README states", False),
        ("commercial_vendor", "somebody", "CC BY 4.0", False),
        ("republished", "somebody", "MIT", False),
        (None, None, None, False),
    ]
    for *row, expected in rows:
        ((found,),) = duckdb.execute(
            f"select {terms.MAY_BE_PASSED_ON} from (select ? as provenance_class, ? as republished_by, ? as licence)",
            row,
        ).fetchall()
        assert found is expected, row


def test_a_set_without_restricted_providers_is_given_away_whole(sample_site: Path) -> None:
    released = (sample_site.parent / "synthetic.duckdb").read_bytes()
    assert (sample_site / "data" / downloads.RELEASE).read_bytes() == released
    assert not [page for page in sample_site.glob("*.html") if "restricted-mark" in page.read_text("utf-8")]
    assert not [page for page in sample_site.glob("*.html") if 'class="note withheld"' in page.read_text("utf-8")]


def test_a_citation_of_a_set_of_any_name_is_bibtex(invented_site: Path) -> None:
    text = (invented_site / "data" / downloads.BIBLIOGRAPHY).read_text("utf-8")
    assert text.startswith("@misc{ai_manufacturing_50______all___1_000001,\n")
    assert r"extract set 50 \% \& \{all\}\_\#1." in text


def test_a_file_of_a_release_has_its_date_and_no_other(sample_site: Path) -> None:
    with pd.io.stata.StataReader(sample_site / "data" / "panel.dta") as reader:
        assert reader.time_stamp == "02 Jan 2026 03:04"
    with zipfile.ZipFile(sample_site / "data" / "ai_manufacturing.xlsx") as opened:
        assert b"2026-01-02T03:04:05Z" in opened.read("docProps/core.xml")
