"""The table of criteria. A new one is one file and one line here; another package's is one entry point."""

from __future__ import annotations

from prunus.lookup import Entry, Table

CRITERIA = Table(
    "criterion",
    {
        "magnitude": Entry(
            "prunus.criteria.magnitude:magnitude",
            "The absolute value of the weight: small weights go.",
            source="Han et al. 2015, section 3 (arXiv:1506.02626)",
        ),
        "gradient-weight": Entry(
            "prunus.criteria.gradient_weight:gradient_weight",
            "|weight × gradient of the loss|: weights whose removal changes the loss little, to first order, go.",
            needs=("batches",),
            source="Blalock et al. 2020, section 7.1 (arXiv:2003.03033); Mozer & Smolensky 1989",
        ),
        "random": Entry(
            "prunus.criteria.random:random",
            "A random order: the control that every technique has to beat.",
        ),
    },
    group="prunus.criteria",
)
