"""Schedules: how sparse after how many steps. Free of torch."""

from prunus.schedules.base import Schedule
from prunus.schedules.gradual import Cubic, Linear
from prunus.schedules.rounds import rounds_to
from prunus.schedules.stepped import Iterative, Levels, OneShot
from prunus.schedules.table import SCHEDULES

__all__ = ["SCHEDULES", "Cubic", "Iterative", "Levels", "Linear", "OneShot", "Schedule", "rounds_to"]
