"""What a partner tells us."""
