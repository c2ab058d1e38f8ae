from __future__ import annotations

import itertools

import pytest

from prunus.report import palette

# What eyes without one kind of cone see, of linear RGB: Machado et al. 2009, severity 1.
BLINDNESSES = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
THEMES = {"light": (palette.LIGHT, palette.LIGHT_SERIES), "dark": (palette.DARK, palette.DARK_SERIES)}


def times(matrix, vector):
    return [sum(one * other for one, other in zip(row, vector, strict=True)) for row in matrix]


def oklab(colour, blindness):
    """Björn Ottosson 2020, "A perceptual color space for image processing"."""
    scaled = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in scaled]
    seen = [min(1.0, max(0.0, one)) for one in times(BLINDNESSES[blindness], linear)]
    cones = times(
        (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        ),
        seen,
    )
    return times(
        (
            (0.2104542553, 0.7936177850, -0.0040720468),
            (1.9779984951, -2.4285922050, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.8086757660),
        ),
        [one ** (1 / 3) for one in cones],
    )


def distance(first, second, blindness):
    pairs = zip(oklab(first, blindness), oklab(second, blindness), strict=True)
    return sum((one - other) ** 2 for one, other in pairs) ** 0.5


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("blindness", BLINDNESSES)
def test_twelve_techniques_can_be_told_apart(theme, blindness):
    series = THEMES[theme][1]
    assert min(distance(one, other, blindness) for one, other in itertools.combinations(series[:6], 2)) > 0.06
    assert min(distance(one, other, blindness) for one, other in itertools.combinations(series, 2)) > 0.05


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_lines_stand_out_from_the_card(theme):
    colours, series = THEMES[theme]
    for name in ("ink", "muted", "accent"):
        assert palette.contrast(colours[name], colours["card"]) >= 4.5
        assert palette.contrast(colours[name], colours["page"]) >= 4.5
    assert min(palette.contrast(one, colours["card"]) for one in series) >= 4.5
    assert palette.contrast(colours["muted"], colours["neutral"]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_text_on_every_step_of_the_heat_can_be_read(theme):
    steps = palette.heat(THEMES[theme][0])
    assert {step.name for step in steps} >= {palette.heat_name(change) for change in (-100, -3, -0.1, 0, 0.1, 3, 100)}
    assert min(palette.contrast(step.background, step.text) for step in steps) >= 4.5


def test_line_and_marker_repeat_what_the_colour_says():
    looks = {(palette.marker(index), palette.dash(index)) for index in range(12)}
    assert len(looks) == 12


def test_black_on_white_has_the_contrast_that_the_guideline_names():
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)


def test_an_unknown_change_has_no_colour():
    assert palette.heat_name(float("nan")) == "none"
