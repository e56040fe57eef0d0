"""The log of webhooks, resend, bulk resend, test sends and diagnostics."""
