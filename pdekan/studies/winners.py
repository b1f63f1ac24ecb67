"""Comparison of the errors of KANs and MLPs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

EVEN_FACTOR = 2.0  # errors within this factor count as even
UNKNOWN = "–"


def winner(kan: float, mlp: float) -> str:
    """ "KAN" or "MLP" by the lower error, "even" within a factor, a dash where one of them is unknown."""
    if math.isnan(kan) or math.isnan(mlp):
        return UNKNOWN
    if max(kan, mlp) < EVEN_FACTOR * min(kan, mlp):
        return "even"
    return "KAN" if kan < mlp else "MLP"


def winners_sentence(winners: Mapping[str, str], where: str) -> str:
    """The functions for which the KAN won, the MLP, or neither. winners: by function."""
    named = {side: comma_list([name for name, won in winners.items() if won == side]) for side in ("KAN", "MLP", "even")}
    return (
        f"{where} the KAN is more than {EVEN_FACTOR:g} times better for {named['KAN']}; the MLP for {named['MLP']}; they "
        f"are even for {named['even']}."
    )


def comma_list(names: Sequence[str]) -> str:
    """Names with commas, or "none"."""
    return ", ".join(names) if names else "none"
