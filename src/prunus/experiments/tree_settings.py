"""The tables of a recipe for trees. Unknown keys are refused; every name is looked up where it stands."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from prunus.experiments.settings import Named, Number, Settings
from prunus.tasks.tables import DATASETS
from prunus.trees.table import ESTIMATORS, METHODS


class TreeTaskSettings(Settings):
    """What to learn, and with what.

    Attributes:
        data: data set of one class for each example, by name or as ``"module:function"``.
        model: ``"decision-tree"``, ``"extra-tree"``, ``"random-forest"`` or ``"extra-trees"``.
    """

    data: Annotated[str, Named(DATASETS)]
    model: Annotated[str, Named(ESTIMATORS, own=False)]


class GrowingSettings(Settings):
    """How the trees are grown.

    Attributes:
        pruning_fraction: of the training split, held out from growing for methods that judge by such examples; the
            validation split is left for choosing among the results.
        parameters: of the model, as scikit-learn calls them; its seed comes from ``seeds``.
    """

    pruning_fraction: Number = Field(default=0.25, ge=0, lt=1)
    parameters: dict[str, Any] = Field(default={})


class TreeTechniqueSettings(Settings):
    """One way to prune trees, to compare with the others.

    Attributes:
        name: as it appears in tables; made from the settings where empty.
        method: how nodes or trees are chosen, see ``prunus.trees.METHODS``, or ``"module:name"``.
        settings: of the method, where it has any, as a table: ``settings = { confidence = 0.1 }``.
        choice: how much is pruned: the ``"sparsities"`` of the recipe, as fractions of the nodes, or the method's
            ``"own"`` choice.
    """

    name: str = ""
    method: Annotated[str, Named(METHODS)] = "cost-complexity"
    settings: dict[str, Any] = Field({})
    choice: Literal["sparsities", "own"] = "sparsities"

    @property
    def label(self) -> str:
        """The name, or one made from the settings."""
        method = f"{self.method} by its own choice" if self.choice == "own" else self.method
        return self.name or ", ".join([method, *(f"{name} {each}" for name, each in self.settings.items())])

    @property
    def expanded(self) -> tuple[Self, ...]:
        """What the technique stands for: itself."""
        return (self,)
