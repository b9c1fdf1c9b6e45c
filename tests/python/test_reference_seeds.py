"""Test the reference seeds against official standards, province outlines and the paper."""

import csv
import json
from pathlib import Path

import pytest

from tests.python.conftest import PROJECT, PUBLIC_EXTRACTS

PAPER = PUBLIC_EXTRACTS.parents[1] / "paper"
OUTLINES = PROJECT / "src/ai_manufacturing/paper/boundaries/provinces.geojson"
# Regions of the National Bureau of Statistics, by the first two digits of GB/T 2260 codes.
REGIONS = {
    "east": "11 12 13 31 32 33 35 37 44 46",
    "northeast": "21 22 23",
    "central": "14 34 36 41 42 43",
    "west": "15 45 50 51 52 53 54 61 62 63 64 65",
}
# Last two-digit division in each section (A to T) of the industry classification GB/T 4754-2017.
SECTIONS = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRST",
        (5, 12, 43, 46, 50, 52, 60, 62, 65, 69, 70, 72, 75, 79, 82, 83, 85, 90, 96, 97),
        strict=True,
    )
)


def seed(name: str, folder: Path = PROJECT / "seeds") -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def unit_kind(code: str) -> str:
    """Return the administrative kind of a city from its GB/T 2260 code.

    Units whose third and fourth digits are 90 are administered directly by the province.
    """
    if code[2:] == "0000":
        return "municipality"
    return "county_level" if code[2:4] == "90" or code[:4] == "6590" else "prefecture_level"


def is_inside(ring: list[list[float]], x: float, y: float) -> bool:
    """Return whether a point is inside a polygon, by counting crossings of a ray to the east."""
    crossings = 0
    for (x1, y1, *_), (x2, y2, *_) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (y1 > y) != (y2 > y):
            crossings += x < x1 + (y - y1) * (x2 - x1) / (y2 - y1)
    return crossings % 2 == 1


def test_codes_decide_province_region_and_kind_of_each_city() -> None:
    region = {code: name for name, codes in REGIONS.items() for code in codes.split()}
    cities = seed("cities")
    assert len(cities) == 333 + 4 + 30, "prefecture-level units, municipalities, others"
    for city in cities:
        code = city["city_id"]
        found = (city["province_id"], city["region"], city["unit_kind"])
        assert found == (f"{code[:2]}0000", region[code[:2]], unit_kind(code)), code
        assert city["name_zh"].startswith(city["short_name_zh"]), code
    for name in ("province_name_zh", "province_name_en"):
        names = {(city["province_id"], city[name]) for city in cities}
        assert len(names) == len(dict(names)) == len({value for _, value in names}) == 31


def test_each_city_lies_in_the_outline_of_its_province() -> None:
    """The province outlines are simplified, so allow for a city centre a few kilometres outside.

    The islands of Sansha have no outline.
    """
    rings: dict[str, list[list[list[float]]]] = {}
    for feature in json.loads(OUTLINES.read_text(encoding="utf-8"))["features"]:
        polygons = feature["geometry"]["coordinates"]
        polygons = [polygons] if feature["geometry"]["type"] == "Polygon" else polygons
        rings[feature["properties"]["province_id"]] = [polygon[0] for polygon in polygons]
    near = [(0.0, 0.0), *((x, y) for x in (-0.1, 0, 0.1) for y in (-0.1, 0, 0.1))]
    outside = [
        city["name_en"]
        for city in seed("cities")
        if not any(
            is_inside(ring, float(city["longitude"]) + x, float(city["latitude"]) + y)
            for ring in rings[city["province_id"]]
            for x, y in near
        )
    ]
    assert outside == ["Sansha"]


def test_industries_have_the_sections_of_the_standard() -> None:
    for industry in seed("industries"):
        division = int(industry["industry_code"])
        section = next(name for name, last in SECTIONS.items() if division <= last)
        assert industry["section"] == section, industry
    assert len(seed("industries")) == SECTIONS["T"]


def test_every_division_of_nace_has_a_section() -> None:
    """NACE Rev. 2 leaves out the numbers between most of its sections."""
    unused = {4, 34, 40, 44, 48, 54, 57, 67, 76, 83, 89}
    divisions = [f"{number:02}" for number in range(1, 100) if number not in unused]
    assert [row["nace_division"] for row in seed("nace_sections")] == divisions


def test_all_municipalities_are_required() -> None:
    required = [
        row["city_id"] for row in seed("required_cities") if row["reason"] == "municipality"
    ]
    assert required == [code for city in seed("cities") if (code := city["city_id"])[2:] == "0000"]


@pytest.mark.parametrize("name", ["published_estimates", "published_facts"])
def test_printed_numbers_are_those_of_the_paper(name: str) -> None:
    if not PAPER.is_dir():
        pytest.skip(f"the paper's numbers are not here: {PAPER.name}/{name}.csv")
    paper = seed(name, PAPER)
    columns = paper[0].keys() & seed(name)[0].keys() - {"statement"}
    ours = [{column: row[column] for column in columns} for row in seed(name)]
    assert ours[: len(paper)] == [{column: row[column] for column in columns} for row in paper]
