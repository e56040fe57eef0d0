"""Benchmarks: measured as ratios within one run, since machines are noisy."""
