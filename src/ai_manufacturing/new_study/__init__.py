"""Generate the dbt project of a new study from its study.toml.

See docs/how_to/another_study.md.
"""

from ai_manufacturing.new_study.declaration import DeclarationError
from ai_manufacturing.new_study.folder import write_study

__all__ = ["DeclarationError", "write_study"]
