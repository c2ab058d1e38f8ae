from __future__ import annotations

import importlib
import pkgutil

import prunus.tickets


def test_no_module_hides_what_the_package_offers():
    for module in pkgutil.iter_modules(prunus.tickets.__path__):
        importlib.import_module(f"prunus.tickets.{module.name}")
    for name in prunus.tickets.__all__:
        assert callable(getattr(prunus.tickets, name)), name
