"""What DP-FedAvg's rounds cost in privacy, as a library's accountant computes it (opacus, the extra `privacy`).

The accountant is that of Rényi differential privacy for the sampled Gaussian mechanism (Mironov, Talwar & Zhang, 2019),
the successor of the moments accountant that McMahan et al. (2018) use.
"""

from __future__ import annotations

import logging
import math
import warnings
from importlib import import_module
from typing import Any

from playground_ext.errors import ConfigError

__all__ = ["INSTALL", "epsilon", "load_accountant"]

INSTALL = "pip install 'playground-ext[privacy]'"
ORDERS = [1 + x / 100 for x in range(1, 10)] + [1 + x / 10 for x in range(1, 100)]
ORDERS += [*range(11, 64), *(2**power for power in range(6, 14))]  # alpha of the Rényi divergence


def load_accountant() -> Any:
    """opacus' module, imported when it is first needed: that takes seconds.

    Raises:
        ConfigError: it is not installed; the error says how to install it.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        return import_module("opacus.accountants")
    except ImportError as error:
        raise ConfigError(f"the privacy accountant is not installed ({error})", next_step=INSTALL) from error
    finally:  # it calls logging.basicConfig, after which every line would be shown twice
        root.handlers[:] = handlers
        root.setLevel(level)


def epsilon(*, q: float, z: float, rounds: int, delta: float) -> float:
    """The ε of (ε, δ)-differential privacy that holds for a whole party after so many rounds.

    `q`: the probability that a party is sampled in a round. `z`: noise over sensitivity. Infinite without noise.

    Raises:
        ConfigError: opacus is not installed.
    """
    if rounds == 0:
        return 0.0
    if z == 0:
        return math.inf
    accountant = load_accountant().RDPAccountant()
    accountant.history = [(z, q, rounds)]
    with warnings.catch_warnings():  # a bound at the first or last order is valid, and no number would be of use there
        warnings.filterwarnings("ignore", message="Optimal order is", category=UserWarning)
        spent, _ = accountant.get_privacy_spent(delta=delta, alphas=ORDERS)
    return float(spent)
