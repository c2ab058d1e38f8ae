from __future__ import annotations

import numpy as np
import pytest
import torch

from prunus.errors import DataError
from prunus.tasks.datasets.images import Look, image_data
from prunus.tasks.datasets.pool import Pool

LOOK = Look("toy", ("only",), mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))


def test_pixels_are_scaled_channel_by_channel_with_channels_first():
    images = np.random.RandomState(0).randint(0, 256, (5, 2, 3, 3)).astype(np.uint8)
    pool = Pool(images, np.zeros(5, np.uint8))
    inputs = image_data(LOOK, pool, pool, pool).train.inputs
    expected = (images / 255 - np.array(LOOK.mean)) / np.array(LOOK.std)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous()
    np.testing.assert_allclose(inputs.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_another_number_of_channels_is_refused():
    pool = Pool(np.zeros((5, 2, 3), np.uint8), np.zeros(5, np.uint8))
    with pytest.raises(DataError, match="images of 'toy' have 3 channels, got 1"):
        image_data(LOOK, pool, pool, pool)
