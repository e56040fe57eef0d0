"""Chaos: deliverers killed with SIGKILL while they deliver, and a count of what that did."""
