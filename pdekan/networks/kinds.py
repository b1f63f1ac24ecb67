"""Kinds of networks by name: each is built again from its stored `architecture`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pdekan.networks import cells, cells_in_time, kan, mlp, singular
from pdekan.networks.base import Network

KINDS: dict[str, Callable[[Mapping[str, Any]], Network]] = {
    "kan": kan.build,
    "mlp": mlp.build,
    "cells": cells.build,
    "cells_in_time": cells_in_time.build,
}


def build(architecture: Mapping[str, Any]) -> Network | None:
    """A network of the given `Network.architecture`, with parameters at zero; None for a kind that is not known.

    Raises KeyError for missing sizes, ValueError for sizes that do not fit together.
    """
    kind = KINDS.get(architecture["kind"])
    if kind is None:
        return None
    network, functions = kind(architecture), singular.singular_functions(architecture)
    return singular.SingularNetwork(network, functions) if functions else network
