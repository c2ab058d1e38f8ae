"""Training several models at once."""
