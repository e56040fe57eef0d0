"""Notifications of people: the bell, their emails and their preferences."""
