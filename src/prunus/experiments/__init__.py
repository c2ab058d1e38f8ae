"""Experiments: a recipe, frozen and hashed, to recorded runs."""

from prunus.lookup import lazy_attributes

__all__ = ["Recipe", "run"]

__getattr__ = lazy_attributes(__name__, {"Recipe": "prunus.experiments.recipe", "run": "prunus.experiments.runner"})
