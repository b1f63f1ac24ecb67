"""Who is better: what may be said of the errors of two kinds of networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

APART = 2.0  # errors nearer than this factor are as good as each other
NOTHING = "–"


def winner(kan: float, mlp: float) -> str:
    """ "KAN" or "MLP", whose error is lower; "even" where both are within a factor; a dash where one of them is not known."""
    if math.isnan(kan) or math.isnan(mlp):
        return NOTHING
    if max(kan, mlp) < APART * min(kan, mlp):
        return "even"
    return "KAN" if kan < mlp else "MLP"


def sentence(winners: Mapping[str, str], where: str) -> str:
    """For what the KAN won, the MLP, and neither of them; winners: by what was learned."""
    named = {side: listed([name for name, won in winners.items() if won == side]) for side in ("KAN", "MLP", "even")}
    return (
        f"{where} the KAN is more than {APART:g} times better for {named['KAN']}; the MLP for {named['MLP']}; they "
        f"are even for {named['even']}."
    )


def listed(names: Sequence[str]) -> str:
    """Names with commas, or "none"."""
    return ", ".join(names) if names else "none"
