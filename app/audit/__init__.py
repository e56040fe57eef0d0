"""Who did what, when, from where, on which object, and what it was before and after."""
