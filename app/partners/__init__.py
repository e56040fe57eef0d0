"""The networks we talk to: address, credentials, limits, paused or not."""
