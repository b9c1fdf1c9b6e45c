"""What the study of wages and robots says beyond its seeds."""

EXAMPLES = {
    "trace": ["trace --specification wages_1"],
    "table": ["table wages --format latex --language zh"],
}
"""Of commands that any study has: what to type here, by command."""
