"""Needs attention: failed webhooks, paused partners, orders without a user and unmatched messages; assign, resolve, reopen."""
