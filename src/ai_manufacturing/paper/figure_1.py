"""Draw Figure 1 of the paper, an event-study plot, with estimated and printed effects."""

import math
from pathlib import Path
from typing import Any

import jinja2

from ai_manufacturing.releases import databases
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import SUBSTITUTE_MARK

SQL = load_statements(__file__)

TEMPLATE = Path(__file__).parent / "figure_1.svg"
WIDTH, HEIGHT, LEFT, TOP = 420, 300, 60, 60  # panel size, left and top margin in pixels

NUMBERS = ("estimate", "conf_low", "conf_high", "printed_estimate")


def write_figure(database: Path, path: Path) -> None:
    """Write Figure 1 as an SVG file, with estimates from a release or warehouse database.

    Each outcome has a panel; the panels share a vertical axis.

    Raises
    ------
    DatabaseError
        If the file is neither a release nor a warehouse.
    """
    origin = databases.read_database(database).origin
    with duckdb_client.open_read_only(database) as connection:
        points = duckdb_client.fetch_rows(
            connection,
            SQL["points"],
        )
    reach = [0.0]
    for point in points:
        reach += [point[name] for name in NUMBERS if point[name] is not None]
    low, high = min(reach), max(reach)
    span = (high - low) or 1.0
    step = 10 ** math.floor(math.log10(span / 2))
    ticks = [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
    years = sorted({point["year"] for point in points})

    def y(value: float) -> str:
        return f"{TOP + HEIGHT * (high - value) / span:.1f}"

    def x(panel: int, year: int) -> str:
        step = (WIDTH - LEFT) / len(years)
        return f"{LEFT + panel * WIDTH + step * (years.index(year) + 0.5):.1f}"

    panels: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        panels.setdefault(point["panel"], []).append(point)
    substitutions = sorted({point["substitution"] for point in points} - {None})
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=True
    )
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        panels=panels,
        years=years,
        x=x,
        y=y,
        ticks=ticks,
        origin=origin,
        left=LEFT,
        top=TOP,
        width=WIDTH,
        height=HEIGHT,
        substitutions=[f"{SUBSTITUTE_MARK} {substitution}." for substitution in substitutions],
    )
    path.write_text(text, encoding="utf-8")
