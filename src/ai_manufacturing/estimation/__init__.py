"""From rows of regression_specifications.csv to rows of coefficients."""
