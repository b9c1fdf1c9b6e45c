"""Helpers that tests and benchmarks share: samples in memory, faults and Markdown tables."""
