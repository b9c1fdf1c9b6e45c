"""Pages, figures, commands and examples that are specific to this study."""

EXAMPLES = {
    "trace": ["trace --specification << study.tables[0].name >>_1"],
    "table": ["table << study.tables[0].name >> --format latex --language zh"],
}
"""Examples for the help of commands that every study has, by command."""
