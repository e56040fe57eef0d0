"""What one POST is made of: the call and its deadline, names, connections, answers."""
