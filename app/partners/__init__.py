"""Partners: connection, credentials, keys, limits, pause and resume."""
