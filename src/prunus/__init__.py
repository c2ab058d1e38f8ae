"""Prune PyTorch networks by any technique, keep the evidence, ship the best."""
