"""Images as they come from files, before they are split and standardised."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from prunus.errors import DataError


@dataclass(frozen=True, eq=False)
class Pool:
    """Images with their labels, in the order of their source.

    Attributes:
        images: uint8, (N, H, W) grey or (N, H, W, C) coloured.
        labels: uint8 (N,).

    Raises:
        DataError: another type or shape, lengths that differ, or nothing at all.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for kind, array, dimensions in (("images", self.images, (3, 4)), ("labels", self.labels, (1,))):
            if array.dtype != np.uint8 or array.ndim not in dimensions:
                allowed = " or ".join(map(str, dimensions))
                raise DataError(
                    f"{kind} must be uint8 with {allowed} dimensions, got {array.dtype} of shape {array.shape}"
                )
        if len(self.images) != len(self.labels) or len(self.images) == 0:
            raise DataError(
                f"{len(self.images):,} images and {len(self.labels):,} labels: expected as many of each, "
                "and at least one"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def in_canonical_order(self) -> Pool:
        """The same examples in an order that depends on their content alone.

        The same data set comes in one order from one source and in another from the next; sorted by content
        first, it is split the same way wherever it came from.
        """
        images = np.ascontiguousarray(self.images)
        digests = b"".join(blake2b(image, digest_size=8).digest() for image in images)
        order = np.lexsort((self.labels, np.frombuffer(digests, ">u8")))
        return self.take(order)

    def take(self, indices: np.ndarray) -> Pool:
        """The examples at ``indices``, copied."""
        return Pool(self.images[indices], self.labels[indices])
