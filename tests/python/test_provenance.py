"""Test the provenance of data sources: how it is declared, validated and displayed."""

import csv
import re

import duckdb
import jinja2
import pytest

from ai_manufacturing.landing import declarations
from ai_manufacturing.system import settings
from tests.python.conftest import Build
from tests.python.landing_project import FIRMS, GOOD, PROVENANCE, Project, fault, recorded

OF_THE_SOURCE = """
    [sources.provenance]
    class = "official"
    publisher = "the statistical office"
    licence = "open"
"""


def test_a_missing_provenance_is_one_message_for_each_source(project: Project) -> None:
    project.declare(FIRMS, provenance="")
    project.declare(FIRMS, provider="another", provenance="")
    assert [line.split(". ")[0] for line in fault().splitlines()] == [
        "another/another.toml, source firms: provenance is missing",
        "vendor/vendor.toml, source firms: provenance is missing",
    ]


PLACE = ("provenance_class", "publisher", "republished_by", "licence", "citation_en")


def test_a_source_says_what_differs_from_its_provider_and_what_was_drawn_is_nobodys(
    project: Project,
) -> None:
    project.declare(FIRMS + OF_THE_SOURCE)
    project.deliver_rows(GOOD)
    citation = "A tester: invented numbers."
    assert recorded(*PLACE) == [
        ("official", "the statistical office", "a tester", "open", citation)
    ]
    project.deliver("extract_set.yml", "name: drawn\nkind: synthetic\n")
    assert recorded("provenance_class", "republished_by") == [("generated", None)]


def test_another_provenance_lands_nothing_anew(project: Project) -> None:
    project.deliver_rows(GOOD)
    ((licence, key),) = recorded("licence", "store_key")
    feeding = FIRMS.replace("key =", 'feeds = ["firm_count"]\n    key =')
    project.declare(feeding, provenance=PROVENANCE.replace(licence, "MIT"))
    assert recorded("licence", "store_key") == [("MIT", key)]


def test_a_source_links_to_its_file_at_a_commit_or_to_its_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DBT_PROJECT_DIR", raising=False)
    found = {
        name: source.provenance for name, source in declarations.read_sources_by_name().items()
    }
    population = found["biechouwo", "population_density"]
    of_file = f"blob/{population.source_commit}/%E5%8E%9F%E5%A7%8B%E6%95%B0%E6%8D%AE/298%E4%B8%AA"
    assert (population.source_link or "").startswith(
        f"https://github.com/biechouwo-coder/G-P/{of_file}"
    )
    assert (
        found["koishi0425", "job_data"].source_link
        == "https://github.com/Koishi0425/data-analysis-project"
    )
    assert found["vendor", "patents"].source_link is None


def made(source: declarations.Source, columns: dict[str, str]) -> list[str]:
    """Return the series that a staging model computes from the columns of one source."""
    root = settings.project_root()
    text = (
        root / f"models/staging/{source.provider}/stg_{source.provider}__{source.entity}.sql"
    ).read_text("utf-8")
    types = {"text": "varchar", "integer": "bigint", "number": "double"}
    values = {
        "text": "'百万美元'",
        "integer": "2010",
    }
    cells = (
        f"cast({values.get(declared, '1') if column in source.columns else 'null'} as"
        f' {types[declared]}) as "{column}"'
        for column, declared in columns.items()
    )
    with (root / "seeds/series.csv").open(encoding="utf-8", newline="") as rows:
        series = {row["series"] for row in csv.DictReader(rows)}
    with duckdb.connect() as connection:
        origin = f"{{'provider': '{source.provider}', 'delivery_number': 1}} as origin"
        connection.execute(
            f"create table raw_{source.entity} as select {origin}, {', '.join(cells)}"
        )
        staged = connection.sql(jinja2.Template(text).render(ref=str, source=lambda *_: ""))
        row, *_ = staged.fetchall()
        # Inventions are counted by patent type, so this column's name differs from the series'
        # name.
        names = [
            re.sub(r"^(ai_)?application_count$", r"\1invention_application_count", name)
            for name in staged.columns
        ]
        return [
            name
            for name, value in zip(names, row, strict=True)
            if value is not None and name in series
        ]


def test_a_source_that_can_be_looked_up_names_the_series_that_its_staging_model_makes() -> None:
    providers = declarations.read_providers().values()
    sources = [source for provider in providers for source in provider.sources]
    known = [source for source in sources if source.provenance.source_link]
    assert {source.provider for source in known} >= {"axcelchan583", "csmar", "duhe1123"}
    for source in known:
        of_entity = declarations.collect_entity_columns(sources, source.entity)
        assert list(source.feeds) == made(source, of_entity), f"{source.provider}.{source.name}"


def test_the_sample_is_generated_in_every_table_that_says_where_a_series_is_from(
    sample_build: Build,
) -> None:
    for table, where in (
        ("raw.deliveries", "true"),
        ("marts.fct_deliveries", "true"),
        ("marts.dim_series", "is_delivered"),
        (
            "marts.data_dictionary",
            "column_name = 'gdp_100m_cny' and table_name = 'fct_city_year_panel'",
        ),
    ):
        classes = sample_build.rows(f"select distinct provenance_class from {table} where {where}")
        assert classes == [("generated",)], table
