"""The estimates of the default draw, by the files and dbt and by the route of
benchmarks/replication.py.
"""

import pandas as pd

from ai_manufacturing.estimation import specifications, tables
from ai_manufacturing.paper import synthetic
from ai_manufacturing.system import settings
from tests.lib import samples
from tests.python.conftest import Build

DEFAULT_SEED = 2020


def test_the_warehouse_gives_the_estimates_of_the_draw_it_was_written_from(
    sample_build: Build,
) -> None:
    drawn = samples.inputs(synthetic.draw(DEFAULT_SEED, settings.period()))
    columns = ["specification_id", "term", "observation_count", "estimate", "std_error"]
    chosen = specifications.read(drawn.specifications)
    direct = tables.coefficients(chosen, drawn).to_pandas()[columns]
    built = sample_build.rows(
        f"select {', '.join(columns)} from reports.rpt_coefficients where reading = 'default' and"
        " table_id in ('table_1', 'table_2', 'table_3', 'table_4', 'table_5', 'table_6')"
    )

    assert direct["estimate"].notna().all()
    keys = ["specification_id", "term"]
    pd.testing.assert_frame_equal(
        direct.set_index(keys).sort_index(),
        pd.DataFrame(built, columns=columns).set_index(keys).sort_index(),
        check_exact=False,
        rtol=1e-8,
        atol=0,
    )
