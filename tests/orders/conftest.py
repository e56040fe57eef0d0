"""The same buyer, supplier and deliverer as the inbound tests have."""

from tests.inbound.conftest import buyer, confirm, deliver_so, end, leave

__all__ = ["buyer", "confirm", "deliver_so", "end", "leave"]
