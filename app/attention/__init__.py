"""Needs attention: failed webhooks, paused partners and unmatched messages; assign, resolve, reopen."""
