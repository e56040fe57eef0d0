"""The buyer, supplier and delivery fixtures of the inbound tests."""

from tests.inbound.conftest import buyer, claim_one, deliver_with, end_attempt

__all__ = ["buyer", "claim_one", "deliver_with", "end_attempt"]
