from __future__ import annotations

import itertools

import torch
from torch.nn import functional

from prunus.tasks.augment import PADDING, crop_and_flip

IMAGES = torch.arange(64 * 3 * 8 * 6, dtype=torch.float32).view(64, 3, 8, 6) + 1


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def shift_of(image, original):
    """The (top, left, flipped) that turn ``original`` into ``image``; brute force over all of them."""
    padded = functional.pad(original, (PADDING,) * 4)
    _, height, width = original.shape
    shifts = itertools.product(range(2 * PADDING + 1), range(2 * PADDING + 1), (False, True))

    def shifted(top, left, flipped):
        crop = padded[:, top : top + height, left : left + width]
        return crop.flip(2) if flipped else crop

    return [shift for shift in shifts if torch.equal(image, shifted(*shift))]


def test_every_image_is_a_crop_of_its_own_padding_perhaps_flipped():
    changed = crop_and_flip(IMAGES, generator())
    assert changed.shape == IMAGES.shape
    assert all(len(shift_of(image, original)) == 1 for image, original in zip(changed, IMAGES, strict=True))


def test_images_are_changed_each_in_its_own_way():
    changed = crop_and_flip(IMAGES, generator())
    shifts = [shift_of(image, original)[0] for image, original in zip(changed, IMAGES, strict=True)]
    assert {top for top, _, _ in shifts} == {left for _, left, _ in shifts} == set(range(2 * PADDING + 1))
    assert 16 <= sum(flipped for _, _, flipped in shifts) <= 48


def test_the_generator_alone_decides():
    torch.manual_seed(1)
    first = crop_and_flip(IMAGES, generator())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, crop_and_flip(IMAGES, generator()))
    assert not torch.equal(first, crop_and_flip(IMAGES, generator(1)))
    assert torch.equal(state, torch.get_rng_state())


def test_the_given_images_stay_as_they_are():
    before = IMAGES.clone()
    crop_and_flip(IMAGES, generator())
    assert torch.equal(before, IMAGES)
