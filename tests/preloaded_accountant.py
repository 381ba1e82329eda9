"""Imported by the server that forks scripted parties: the privacy accountant takes seconds, once and not per party."""

from __future__ import annotations

import contextlib

from playground_ext.errors import ConfigError
from playground_ext.fed_avg.privacy_accounting import load_accountant

with contextlib.suppress(ConfigError):  # it is not installed
    load_accountant()
