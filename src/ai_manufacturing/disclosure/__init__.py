"""Public copies of a release: withheld values, and the precision of published numbers."""
