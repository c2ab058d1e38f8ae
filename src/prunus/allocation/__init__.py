"""Scores and a target to masks: exact counts, per layer or across the network."""
