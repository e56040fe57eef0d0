"""Notifications of people: the bell, their mails and their preferences."""
