"""Where sources come from: what a provider declares, what is wrong with a declaration, and where it is shown."""

import csv
import textwrap

import duckdb
import jinja2
import pytest

from ai_manufacturing import landing, settings
from ai_manufacturing.landing import declarations, provenance
from tests.python.conftest import Build
from tests.python.landing_project import FIRMS, GOOD, PROVENANCE, Project, csv_text

OF_THE_SOURCE = """
    [sources.provenance]
    class = "official"
    publisher = "the statistical office"
    licence = "open"
"""


def declare(project: Project, *change: str, firms: str = FIRMS) -> None:
    project.declare(firms, provenance=textwrap.dedent(PROVENANCE).replace(*change, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("", ""), None),
        (('class = "republished"', 'class = "reseller"'), 'the class of provenance is "reseller", not one of official'),
        (('licence = "none stated"\n', ""), "provenance lacks licence, unknown: nothing."),
        (("licence =", "license ="), "provenance lacks licence, unknown: license."),
        (('"none stated"', '" "'), "licence of provenance is ' ', not a text."),
        (('republished_by = "a tester"\n', ""), "provenance is republished and does not say by whom."),
        (('address = "https://example.org/numbers"\n', ""), "provenance is republished and does not say where."),
        (("looked_up = 2026-11-28\n", ""), "address of provenance has no day. Write looked_up, the day on which"),
        (
            ("looked_up", 'accessed = "today"\nlooked_up'),
            "accessed of provenance is 'today', not a date as 2026-11-28",
        ),
        (("https://example.org/numbers", "example.org"), "address of provenance is 'example.org', not one that begins"),
        (("looked_up", 'commit = "main"\nlooked_up'), "commit of provenance is 'main', not 40 hex digits."),
        (("interpolated = []", "interpolated = false"), "interpolated of provenance is False, not a list of series"),
        (("interpolated = []", 'interpolated = ["gdp"]'), "interpolated of provenance names gdp, no row of seeds/ser"),
    ],
)
def test_a_wrong_provenance_is_one_message(project: Project, change: tuple[str, str], message: str | None) -> None:
    declare(project, *change)
    project.deliver("firms/a.csv", csv_text(GOOD))
    if message is None:
        landing.deliveries()
        return
    with pytest.raises(landing.LandingError) as raised:
        landing.deliveries()
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"vendor/vendor.toml, source firms: {message}")
    assert line.endswith("docs/how_to/add_a_provider.md says what it holds.")


def test_a_missing_provenance_is_one_message_for_each_source(project: Project) -> None:
    project.declare(FIRMS, provenance="")
    project.declare(FIRMS, provider="another", provenance="")
    with pytest.raises(landing.LandingError) as raised:
        landing.deliveries()
    assert [line.split(". Add")[0] for line in str(raised.value).splitlines()] == [
        "another/another.toml, source firms: no provenance",
        "vendor/vendor.toml, source firms: no provenance",
    ]


def test_a_source_says_what_differs_from_its_provider(project: Project) -> None:
    project.declare(FIRMS + OF_THE_SOURCE)
    project.deliver("firms/a.csv", csv_text(GOOD))
    (delivery,) = landing.deliveries().to_pylist()
    assert (delivery["provenance_class"], delivery["publisher"], delivery["licence"]) == (
        "official",
        "the statistical office",
        "open",
    )
    assert delivery["republished_by"] == "a tester"
    assert delivery["citation_en"] == "A tester: invented numbers."


def test_another_provenance_lands_nothing_anew(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    (before,) = landing.deliveries().to_pylist()
    feeding = FIRMS.replace("key =", 'feeds = ["firm_count"]\n    key =')
    declare(project, "none stated", "MIT", firms=feeding)
    (after,) = landing.deliveries().to_pylist()
    assert (before["licence"], after["licence"]) == ("none stated", "MIT")
    assert before["store_key"] == after["store_key"]


def test_numbers_that_were_drawn_are_nobodys(project: Project) -> None:
    project.deliver("firms/a.csv", csv_text(GOOD))
    project.deliver("extract_set.yml", "name: drawn\nkind: synthetic\n")
    (delivery,) = landing.deliveries().to_pylist()
    assert delivery["provenance_class"] == "generated"
    assert delivery["republished_by"] is None


def test_every_source_of_the_project_declares_its_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBT_PROJECT_DIR", raising=False)
    found = provenance.read()
    assert found["csmar", "gdp"].provenance_class == "commercial_vendor"
    assert found["csmar", "gdp"].republished_by == "eileenCHEN-9/PhD_2022_2025 (GitHub)"
    assert found["biechouwo", "population_density"].interpolated_series == "resident_population_interpolated_10k"
    assert found["biechouwo", "sector_structure"].interpolated_series is None
    population = found["biechouwo", "population_density"]
    assert population.source_address == "https://github.com/biechouwo-coder/G-P"
    assert population.source_path == "原始数据/298个地级市人口密度1998-2024年无缺失.xlsx"
    of_file = f"blob/{population.source_commit}/%E5%8E%9F%E5%A7%8B%E6%95%B0%E6%8D%AE/298%E4%B8%AA"
    assert (population.source_link or "").startswith(f"https://github.com/biechouwo-coder/G-P/{of_file}")
    assert found["koishi0425", "job_data"].source_link == "https://github.com/Koishi0425/data-analysis-project"
    assert found["vendor", "patents"].source_link is None
    assert {("vendor", "firm_register"), ("spark", "firm_counts")} <= found.keys()


def made(source: declarations.Source, columns: dict[str, str]) -> list[str]:
    """Return the series that have a value in the staging model where the columns of one source have one."""
    root = settings.project_root()
    text = (root / f"models/staging/{source.provider}/stg_{source.provider}__{source.entity}.sql").read_text("utf-8")
    types = {"text": "varchar", "integer": "bigint", "number": "double"}
    values = {"text": "'百万美元'", "integer": "2010"}  # the one unit and the one year on which a value depends
    cells = (
        f'cast({values.get(declared, "1") if column in source.columns else "null"} as {types[declared]}) as "{column}"'
        for column, declared in columns.items()
    )
    with (root / "seeds/series.csv").open(encoding="utf-8", newline="") as rows:
        series = {row["series"] for row in csv.DictReader(rows)}
    with duckdb.connect() as connection:
        origin = f"{{'provider': '{source.provider}', 'delivery_number': 1}} as origin"
        connection.execute(f"create table raw_{source.entity} as select {origin}, {', '.join(cells)}")
        staged = connection.sql(jinja2.Template(text).render(ref=str, source=lambda *_: ""))
        (row, *_) = staged.fetchall()
        return [name for name, value in zip(staged.columns, row, strict=True) if value is not None and name in series]


def test_a_source_that_can_be_looked_up_names_the_series_that_its_staging_model_makes() -> None:
    sources, origins = declarations.read(), provenance.read()
    known = [source for source in sources if origins[source.provider, source.name].source_link]
    assert {source.provider for source in known} >= {"axcelchan583", "csmar", "duhe1123"}
    for source in known:
        of_entity = declarations.entity_columns(sources, source.entity)
        assert list(source.feeds) == made(source, of_entity), f"{source.provider}.{source.name}"


def test_the_sample_is_generated_in_every_table_that_says_where_a_series_is_from(sample_build: Build) -> None:
    for table, where in (
        ("raw.deliveries", "true"),
        ("marts.fct_deliveries", "true"),
        ("marts.dim_series", "is_delivered"),
        ("marts.data_dictionary", "column_name = 'gdp_100m_cny' and table_name = 'fct_city_year_panel'"),
    ):
        classes = sample_build.rows(f"select distinct provenance_class from {table} where {where}")
        assert classes == [("generated",)], table
