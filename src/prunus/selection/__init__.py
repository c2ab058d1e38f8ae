"""Choosing among candidates: means and intervals over seeds, the Pareto front, the best under constraints."""
