"""Incoming messages from partners: API, processing, log and import."""
