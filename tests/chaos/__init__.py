"""Chaos: delivery workers are killed with SIGKILL while they deliver, and the results are counted."""
