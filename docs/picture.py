"""Draw the README picture: printed and estimated coefficients, for the sample and for real data.

The arguments are two warehouses or releases: first the one built from the synthetic sample, then
one built from delivered files. The fonts are bundled with vl-convert, so every machine draws the
same picture.
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
# Mechanical columns are excluded: their outcome is built from the regressor. So are columns on
# another scale. Either would squeeze the axis for the remaining columns.
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
    """Chart the columns of one file: estimates with intervals, printed values as diamonds."""
    with duckdb_client.open_read_only(path) as connection:
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
