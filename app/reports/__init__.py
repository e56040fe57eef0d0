"""Home page, delivery health, response report, metrics and health checks."""
