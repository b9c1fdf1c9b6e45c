"""Draw the picture of the README: printed and estimated coefficients, of the sample and real data.

Two warehouses or releases are named: the synthetic sample's, then one of delivered files. The fonts
are those that vl-convert brings, so that every machine draws the same.
"""

import sys
from pathlib import Path

import altair as alt
import pandas as pd
import vl_convert

from ai_manufacturing.system import duckdb_client

PICTURE = Path(__file__).with_name("findings.png")
VERDICTS = {"holds": "#2c7a4b", "not found": "#a3161a", "cannot tell": "#6b6b6b"}
SETS = ("Synthetic sample: numbers drawn by a program", "Delivered files: a real city panel")
# A column made from the outcome, and those of another scale, would hide the others.
COLUMNS = """
    select
        concat('Table ', table_id[-1], ' (', column_number, ')') as name,
        table_id, column_number, printed_value, estimate, conf_low, conf_high,
        split_part(verdict_en, ':', 1) as verdict
    from reports.rpt_verdicts
    where
        design_order = 1 and cause is distinct from 'mechanical'
        and table_id <= 'table_4' and column_number <= 6
    order by table_id, column_number
"""


def drawn(path: Path, title: str) -> alt.LayerChart:
    """Return the columns of one file: dots with intervals, and diamonds where printed."""
    with duckdb_client.reading(path) as connection:
        rows: pd.DataFrame = connection.sql(COLUMNS).df()
    names = alt.Y("name:N", sort=[*rows["name"]], title=None)
    base = alt.Chart(rows).encode(y=names)
    colour = alt.Color(
        "verdict:N",
        title=None,
        scale=alt.Scale(domain=[*VERDICTS], range=[*VERDICTS.values()]),
        legend=alt.Legend(orient="bottom"),
    )
    scale = alt.Scale(domain=[-0.2, 0.6], clamp=True)
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("conf_low:Q", title="coefficient, 95 % interval (CRV3 by province)", scale=scale),
        x2="conf_high:Q",
        color=colour,
    )
    estimate = base.mark_circle(size=70, opacity=1).encode(x="estimate:Q", color=colour)
    printed = base.mark_point(shape="diamond", size=60, color="#b8500b", filled=False)
    zero = alt.Chart().mark_rule(color="#bbbbbb").encode(x=alt.datum(0))
    layers = (zero, interval, estimate, printed.encode(x="printed_value:Q"))
    return alt.layer(*layers, data=rows, width=400, height=300, title=title)


if __name__ == "__main__":
    charts = [drawn(Path(path), title) for path, title in zip(sys.argv[1:], SETS, strict=True)]
    picture = alt.hconcat(*charts).properties(
        title=alt.Title("Orange diamond: printed in the paper. Dot: estimated here.", fontSize=13)
    )
    png = vl_convert.vegalite_to_png(picture.to_json(), scale=1.5)
    PICTURE.write_bytes(png)
