"""Create public copies of a release that omit restricted values and round estimates."""
