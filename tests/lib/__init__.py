"""What tests and benchmarks share: the sample in memory, its faults and its texts."""
