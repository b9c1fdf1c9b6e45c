"""Helpers shared by tests and benchmarks: simulated data, planted faults and Markdown tables."""
