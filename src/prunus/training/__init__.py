"""Training: the loop, and pruning while it runs."""
