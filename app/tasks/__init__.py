"""Background jobs, scheduled tasks and email: one table, one lease, one worker."""
