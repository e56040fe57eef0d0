"""The inbox of purchase orders and the answer to each."""
