"""The partner simulator and the example data."""
