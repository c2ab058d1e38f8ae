"""The table of budgets. A new one is one file and one line here; another package's is one entry point."""

from __future__ import annotations

from prunus.lookup import Entry, Table

BUDGETS = Table(
    "budget",
    {
        "uniform": Entry(
            "prunus.allocation.budgets.uniform:uniform",
            "The same sparsity in every layer.",
        ),
        "erk": Entry(
            "prunus.allocation.budgets.erk:erk",
            "Layers with more inputs and outputs are sparser (Erdős–Rényi kernel).",
            source="Evci et al. 2020, section 3 (arXiv:1911.11134)",
        ),
        "rates": Entry(
            "prunus.allocation.budgets.rates:Rates",
            "Every layer loses a fraction of its own in each round, such as the output layer a smaller one.",
            source="Frankle & Carbin 2019 (arXiv:1803.03635)",
        ),
        "lamp": Entry(
            "prunus.allocation.budgets.lamp:lamp",
            "The layers' shares when magnitudes are ranked relative to what is left of their layer.",
            source="Lee et al. 2021 (arXiv:2010.07611)",
            cost="one sort of the weights, 8 bytes each",
        ),
        "synflow": Entry(
            "prunus.allocation.budgets.synflow:SynFlow",
            "The layers' shares that iterated synaptic flow finds.",
            needs=("batches",),
            source="Tanaka et al. 2020 (arXiv:2006.05467)",
            cost="100 forward and backward passes of one example",
        ),
        "sensitivity": Entry(
            "prunus.allocation.budgets.sensitivity:Sensitivity",
            "Every layer is pruned as far as the same measured drop of the accuracy, or rise of the loss, allows.",
            needs=("batches",),
            source="Li et al. 2017, section 3.2 (arXiv:1608.08710); Han et al. 2015, section 5 (arXiv:1506.02626)",
            cost="6 forward passes over the data for every layer",
        ),
        "flops": Entry(
            "prunus.allocation.budgets.flops:Flops",
            "The sparsity is the fraction of the multiply-adds that go, whichever layers they are in.",
            needs=("batches",),
            source="Molchanov et al. 2017, section 2.4 (arXiv:1611.06440)",
            cost="one forward pass of one batch, one sort of the scores, 8 bytes each",
        ),
        "owl": Entry(
            "prunus.allocation.budgets.owl:Owl",
            "Blocks with more outliers among the products of weight and input stay denser.",
            needs=("batches",),
            source="Yin et al. 2024 (arXiv:2310.05175)",
            cost="one forward pass over the data",
        ),
    },
    group="prunus.budgets",
)
