"""One self-contained page that shows an experiment and its evidence."""
