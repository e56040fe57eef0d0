"""Needs attention: webhooks, partners, orders and incoming messages that need a person."""
