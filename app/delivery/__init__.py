"""The delivery engine: enqueues, sends, records and retries webhooks. See README.md."""
