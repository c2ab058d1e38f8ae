from __future__ import annotations

from hypothesis import settings

# A machine that has other work is slow, not wrong.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
