"""Turn the rows of regression_specifications.csv into rows of coefficients."""
