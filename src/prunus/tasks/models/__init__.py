"""Models of prunus's own writing: each a function of the shape of one example and the number of classes."""
