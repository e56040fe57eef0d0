"""What must reach a partner: the queue and the log in one table."""
