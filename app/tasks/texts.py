"""What all emails have in common, and the test email."""

from __future__ import annotations

SUBJECT_PREFIX = "PO Confirm: "
FOOTER = "\n-- \nPO Confirm. Opening a link in this email changes nothing.\n"
TEST_SUBJECT = "test email"
TEST_BODY = "This is a test. Email from PO Confirm works.\n"
