"""The paper's estimators, each tested against numbers from other software."""
