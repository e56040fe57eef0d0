"""Background jobs, scheduled chores and mail: one table, one lease, one worker."""
