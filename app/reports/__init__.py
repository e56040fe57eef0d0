"""Alive, ready and, in time, the charts."""
