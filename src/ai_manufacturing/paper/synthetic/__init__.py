"""The synthetic sample: a vendor's delivery with known parameters and invented numbers.

`truth` holds the true parameters, `panel` draws the city-years from them, `files` splits the
city-years over industries and writes them. What the paper prints and no draw of this kind can give
is listed in `truth`.
"""

from ai_manufacturing.paper.synthetic.files import write
from ai_manufacturing.paper.synthetic.panel import CityYears, draw

__all__ = ["CityYears", "draw", "write"]
