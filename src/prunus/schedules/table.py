"""The table of schedules that a recipe can name."""

from __future__ import annotations

from prunus.lookup import Entry, Table

SCHEDULES = Table(
    "schedule",
    {
        "one-shot": Entry(
            "prunus.schedules.stepped:OneShot",
            "Every target is reached in one step from the dense model.",
        ),
        "iterative": Entry(
            "prunus.schedules.stepped:Iterative",
            "Prune and retrain in rounds, each removing at most a fraction of what is left.",
            source="Han et al. 2015 (arXiv:1506.02626); Frankle & Carbin 2019 (arXiv:1803.03635)",
        ),
        "levels": Entry(
            "prunus.schedules.stepped:Levels",
            "Prune and retrain in rounds that are the target sparsities themselves.",
        ),
        "linear": Entry(
            "prunus.schedules.gradual:Linear",
            "While training, the same number of weights at every pruning.",
        ),
        "cubic": Entry(
            "prunus.schedules.gradual:Cubic",
            "While training, many weights at first and few in the end.",
            source="Zhu & Gupta 2017, equation 1 (arXiv:1710.01878)",
        ),
    },
)
