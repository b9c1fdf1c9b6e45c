"""The synthetic sample: a simulated vendor delivery with known true parameters.

`truth` defines the true parameters and lists the printed numbers that no such sample can reproduce.
`panel` draws city-years from the parameters, and `files` splits them over industries and writes the
files.
"""

from ai_manufacturing.paper.synthetic.files import write
from ai_manufacturing.paper.synthetic.panel import CityYears, draw

__all__ = ["CityYears", "draw", "write"]
