"""The table of penalties that a recipe can name. Free of torch.

Each is made with a ``strength``, and with what it ``needs`` of the technique's settings.
"""

from __future__ import annotations

from prunus.lookup import Entry, Table

PENALTIES = Table(
    "penalty",
    {
        "l1": Entry(
            "prunus.training.penalties:L1",
            "The sum of the absolute weights.",
            needs=("include", "exclude", "types"),
            source="Tibshirani 1996; Han et al. 2015, section 3.1 (arXiv:1506.02626)",
            cost="one pass over the weights at every step",
        ),
        "group-lasso": Entry(
            "prunus.training.penalties:GroupLasso",
            "The sum of the L2 norms of groups such as channels, each times the root of the group's size.",
            needs=("pattern", "include", "exclude", "types"),
            source="Yuan & Lin 2006; Wen et al. 2016 (arXiv:1608.03665)",
            cost="one pass over the weights at every step",
        ),
        "batch-norm-slimming": Entry(
            "prunus.training.penalties:BatchNormSlimming",
            "The sum of the absolute scales of BatchNorm layers: network slimming.",
            needs=("exclude",),
            source="Liu et al. 2017, equation 1 (arXiv:1708.06519)",
            cost="one pass over the scales at every step",
        ),
        "l0": Entry(
            "prunus.training.gates:ExpectedL0",
            "The expected number of weights that random gates keep; the gates are trained with the weights.",
            needs=("pattern", "drop_rate", "include", "exclude", "types"),
            source="Louizos et al. 2018 (arXiv:1712.01312)",
            cost="a few passes over the weights and as many gates at every step; a gate a group as memory",
        ),
    },
    group="prunus.penalties",
)
