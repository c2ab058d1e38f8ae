"""The tables of what prunes, or prepares pruning, while a network is trained. Free of torch."""

from __future__ import annotations

from prunus.lookup import Entry, Table

REWIRINGS = Table(
    "way to rewire",
    {
        "set": Entry(
            "prunus.training.rewiring:Rewirer",
            "Sparse from the start: the weakest connections go and random ones grow (SET).",
            source="Mocanu et al. 2018, sparse evolutionary training (arXiv:1707.04780)",
            cost="one pass over the weights at every update",
        ),
        "rigl": Entry(
            "prunus.training.rewiring:Rewirer",
            "Sparse from the start: the weakest connections go and those with the largest gradients grow (RigL).",
            source="Evci et al. 2020, section 3 and algorithm 1 (arXiv:1911.11134)",
            cost="one pass over the weights at every update, and a copy of the gradients before it",
        ),
    },
)

MOVEMENTS = Table(
    "kind of movement pruning",
    {
        "hard": Entry(
            "prunus.training.movement:TopScores",
            "Scores are learnt beside the weights; at every step the lowest are out, as many as a schedule says.",
            source="Sanh et al. 2020, section 4, equation 1 (arXiv:2005.07683)",
            cost="one selection at every step; a score and a copy of each weight as memory",
        ),
        "soft": Entry(
            "prunus.training.movement:ScoreThreshold",
            "Scores are learnt under a penalty; out is what falls below a threshold, so sparsity follows the strength.",
            needs=("strength",),
            source="Sanh et al. 2020, section 4 (arXiv:2005.07683)",
            cost="a few passes over the weights at every step; a score and a copy of each weight as memory",
        ),
    },
)

_EDGE_POPUP_COST = "one selection at every step; a score, its momentum and a copy of each weight as memory"
# The name says which values the weights have that take part.
EDGE_POPUPS = Table(
    "kind of weights",
    {
        "first": Entry(
            "prunus.training.edge_popup:EdgePopup",
            "The first weights, as they are.",
            source="Ramanujan et al. 2020, edge-popup (arXiv:1911.13299)",
            cost=_EDGE_POPUP_COST,
        ),
        "scaled": Entry(
            "prunus.training.edge_popup:EdgePopup",
            "The first weights, times one over the root of the density.",
            source="Ramanujan et al. 2020, the scaled Kaiming normal distribution (arXiv:1911.13299)",
            cost=_EDGE_POPUP_COST,
        ),
        "signed": Entry(
            "prunus.training.edge_popup:EdgePopup",
            "The signs of the first weights, times one constant in each layer: the root of two over its inputs.",
            source="Ramanujan et al. 2020, the signed Kaiming constant (arXiv:1911.13299)",
            cost=_EDGE_POPUP_COST,
        ),
        "signed-scaled": Entry(
            "prunus.training.edge_popup:EdgePopup",
            "The signed constants, times one over the root of the density.",
            source="Ramanujan et al. 2020, the signed Kaiming constant (arXiv:1911.13299), and their code's scale_fan",
            cost=_EDGE_POPUP_COST,
        ),
    },
)

# Each is made with a ``strength``, and with what it ``needs`` of the technique's settings.
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
