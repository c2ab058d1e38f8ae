"""Criteria: a model, perhaps with data, to scores; what scores higher stays."""

from prunus.criteria.table import CRITERIA
from prunus.lookup import lazy_attributes

__all__ = ["CRITERIA", "Subject", "score"]

__getattr__ = lazy_attributes(__name__, {"Subject": "prunus.criteria.subject", "score": "prunus.criteria.scoring"})
