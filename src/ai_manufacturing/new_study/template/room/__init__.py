"""Pages, figures, commands and examples of this study beyond its seeds."""

EXAMPLES = {
    "trace": ["trace --specification << study.tables[0].name >>_1"],
    "table": ["table << study.tables[0].name >> --format latex --language zh"],
}
"""Of commands that any study has: what to type here, by command."""
