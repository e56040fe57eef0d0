"""What somebody must look at: refused, failed, unknown, held, unmatched; handed over and closed."""
