"""Reading a pickled file without running anything that it names.

CIFAR-10 is published pickled. Here nothing that a pickle refers to is imported or called: the three names that
those files need stand for a class of this module that only writes down what it is given, and any other name is
an error.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from prunus.errors import DataError

_ALLOWED = frozenset(
    {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }
)

# what the unpickler is known to raise on malformed bytes
_MALFORMED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class Recorded:
    """Stands for an object that was not made: the arguments and the state it would have been given."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise DataError(
                f"it refers to {module_name}.{global_name}, which no CIFAR-10 file needs: it may be meant to run code; "
                "do not use it"
            )
        return Recorded

    def persistent_load(self, pid: Any) -> Any:
        raise DataError(f"it refers to an object outside itself, {pid!r}, which no CIFAR-10 file needs")


def unpickle_inert(data: bytes, path: Path) -> Any:
    """Plain values, with a ``Recorded`` in the place of every array and array type; old strings become bytes.

    Args:
        data: the pickled bytes.
        path: the file they are from, for the message.

    Raises:
        DataError: the bytes are malformed, or refer to anything that CIFAR-10's files do not.
    """
    try:
        return _InertUnpickler(io.BytesIO(data), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{path} was refused: {error}") from None
    except _MALFORMED as error:
        raise DataError(f"{path} is not a pickled batch: {error}; fetch it again") from error
