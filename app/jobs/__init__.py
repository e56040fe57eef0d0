"""Work that takes longer than a request: durable jobs, with progress and cancel, and chores by the clock."""
