"""The seeds of replicates: as a recipe says them, and as work uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, StrictInt, Tag

from prunus.experiments.identity import derive_seed
from prunus.experiments.settings import Settings, Whole


class SeedSettings(Settings):
    """Separate seeds for what is random.

    Attributes:
        init: of the first weights, or of the growing of trees.
        order: of the data's order, of augmentation and of dropout; with trees, of what is held out from growing.
        pruning: of criteria and methods that draw, and of new weights for ``reinit``.
    """

    init: Whole = Field(ge=0)
    order: Whole = Field(ge=0)
    pruning: Whole = Field(ge=0)


@dataclass(frozen=True)
class Seeds:
    """The seeds of one replicate.

    Attributes:
        init, order, pruning: see ``SeedSettings``; no pruning for what is not pruned.
    """

    init: int
    order: int
    pruning: int | None = None

    @classmethod
    def of(cls, seed: int | SeedSettings) -> Seeds:
        """What one element of ``seeds`` stands for; a number is the seed of everything."""
        return cls(seed.init, seed.order, seed.pruning) if isinstance(seed, SeedSettings) else cls(seed, seed, seed)

    def of_search(self, number: int) -> Seeds:
        """Of one of several searches from the same first weights; 0 is this replicate's own."""
        if not number:
            return self
        order, pruning = (derive_seed("search", each, number) % 10**9 for each in (self.order, self.pruning))
        return Seeds(self.init, order, pruning)

    @property
    def stated(self) -> dict[str, int]:
        """Purpose → seed."""
        return {purpose: seed for purpose, seed in vars(self).items() if seed is not None}

    @property
    def label(self) -> int:
        """The number under which the replicates of different techniques are paired.

        Equal seeds are their own label. Others have one of seven digits, made from them alone, so that a replicate
        has the same label in every recipe.
        """
        seeds = [*self.stated.values()]
        if len(set(seeds)) == 1:
            return seeds[0]
        return 10**6 + derive_seed("label", seeds) % (9 * 10**6)


def _kind_of_seed(value: object) -> str:
    return "table" if isinstance(value, SeedSettings | Mapping) else "number"


def _differing(values: tuple[int | SeedSettings, ...]) -> tuple[int | SeedSettings, ...]:
    if len({Seeds.of(value).label for value in values}) < len(values):
        raise ValueError(f"seeds must differ, got {', '.join(map(_written, values))}")
    return values


def _written(seed: int | SeedSettings) -> str:
    return str(seed) if isinstance(seed, int) else f"{{{seed}}}"


_Seed = Annotated[
    Annotated[StrictInt, Field(ge=0), Tag("number")] | Annotated[SeedSettings, Tag("table")],
    Discriminator(_kind_of_seed),
]
SeedList = Annotated[
    tuple[_Seed, ...],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_differing),
]
