"""Sending many messages again: a plan, a reason, a job, and a report with a row per message."""
