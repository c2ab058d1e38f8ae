"""Pruning in the training loops of other libraries: ``lightning`` and ``transformers``, each an extra."""
