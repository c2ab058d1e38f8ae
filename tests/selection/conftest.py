from __future__ import annotations

import pytest

from prunus.selection.candidates import Candidate, Replicate
from prunus.selection.metrics import METRICS


@pytest.fixture(scope="session")
def candidate():
    """A maker of candidates: metrics not named are 0, a list gives one value for every seed."""

    def make(technique, requested_sparsity, reporting=None, **choosing):
        reporting = reporting or choosing
        choosing = {"sparsity": requested_sparsity} | choosing
        seeds = max(len(values) if isinstance(values, list) else 1 for values in choosing.values())

        def of(named, seed):
            return {
                name: float(values[seed] if isinstance(values := named.get(name, 0.0), list) else values)
                for name in METRICS
            }

        return Candidate(
            technique,
            requested_sparsity,
            tuple(
                Replicate(seed, f"{technique}-{seed}", f"state-{seed}", of(choosing, seed), of(reporting, seed))
                for seed in range(seeds)
            ),
        )

    return make
