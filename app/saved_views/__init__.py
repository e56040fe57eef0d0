"""Saved views: filters of a list that a person saved under a name."""
