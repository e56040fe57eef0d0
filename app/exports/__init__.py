"""Exports of filtered lists, and the evidence pack of an order."""
