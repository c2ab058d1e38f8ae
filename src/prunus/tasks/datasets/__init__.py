"""Ready-made data sets: each file a function ``load(folder) -> Data``, and what they share."""
