"""A drawing of vl-convert, made at home in the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from markupsafe import Markup

_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_DROPPED = ("font-family", "pointer-events", "class", "role", "aria-hidden", "aria-roledescription")


def at_home(drawing: str, layout: str, identifier: str, words: tuple[str, str], variables: Mapping[str, str]) -> Markup:
    """The drawing as an inline SVG that fills its width, follows the page's colours and says what it shows.

    Args:
        drawing: SVG as vl-convert writes it.
        layout: name of its width, by which the page shows the one that fits.
        identifier: begins the ids in it, so that they differ from those of other drawings.
        words: title and description, for readers who do not see it.
        variables: colour in the drawing → the page's colour.
    """
    root = ElementTree.fromstring(drawing)
    view = root.attrib["viewBox"]
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        _simplify(element, variables)
    _rename(root, identifier)
    root.attrib.clear()
    root.attrib.update(
        {
            "class": f"plot plot-{layout}",
            "viewBox": view,
            "role": "img",
            "aria-labelledby": f"{identifier}-title {identifier}-desc",
        }
    )
    for position, (tag, text) in enumerate(zip(("title", "desc"), words, strict=True)):
        element = ElementTree.Element(tag, {"id": f"{identifier}-{tag}"})
        element.text = text
        root.insert(position, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _simplify(element: ElementTree.Element, variables: Mapping[str, str]) -> None:
    styles = []
    for name, value in list(element.attrib.items()):
        if name in _DROPPED:
            del element.attrib[name]
        elif value in variables:
            styles.append(f"{name}:{variables[value]}")
            del element.attrib[name]
        elif name in ("d", "transform"):
            element.attrib[name] = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value)
    if styles:
        element.attrib["style"] = ";".join(styles)


def _rename(root: ElementTree.Element, identifier: str) -> None:
    """Number the ids afresh: vl-convert counts on from drawing to drawing, but equal charts must be equal text."""
    named = [element for element in root.iter() if "id" in element.attrib]
    names = {element.attrib["id"]: f"{identifier}-{number}" for number, element in enumerate(named)}
    for element in root.iter():
        if "id" in element.attrib:
            element.attrib["id"] = names[element.attrib["id"]]
        if "clip-path" in element.attrib:
            target = element.attrib["clip-path"].removeprefix("url(#").removesuffix(")")
            element.attrib["clip-path"] = f"url(#{names[target]})"
