"""What is filtered, as a file; and the evidence of one order."""
