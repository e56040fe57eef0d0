"""Users, roles, permissions, sign-in and sessions."""
