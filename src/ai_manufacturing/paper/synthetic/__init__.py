"""Generate synthetic data with known true parameters, in the layout of a data vendor.

`truth` defines the true parameters and lists the printed numbers that no such sample can reproduce.
`panel` draws city-years from the parameters, and `files` splits them over industries and writes the
files.
"""

from ai_manufacturing.paper.synthetic.files import write_sample
from ai_manufacturing.paper.synthetic.panel import CityYears, draw_city_years

__all__ = ["CityYears", "draw_city_years", "write_sample"]
