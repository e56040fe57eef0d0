"""The other side of the wire: a partner that speaks only HTTP, and the example data."""
