"""A problem in a few words: as text, and as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence

from pdekan.domains.base import Domain
from pdekan.problems.condition import Condition
from pdekan.problems.formulas import Field, RightHandSide

_SHOWN = 4  # coordinates, equations or conditions; of more the number is said


class Described:
    """What a problem's texts are made of."""

    name: str
    title: str
    domain: Domain
    unknowns: tuple[str, ...]
    conditions: tuple[Condition, ...]

    @property
    def equation_texts(self) -> list[str]:
        """The equations as they are written, "…" for what is a Python function."""
        raise NotImplementedError

    def described(self) -> dict[str, str]:
        """Domain, unknowns, equations and conditions, by what they are."""
        domain = self.domain
        intervals = zip(domain.coordinates, domain.lower, domain.upper, strict=True)
        return {
            "domain": f"{domain.type_name}, {_listed([f'{name} in [{a:g}, {b:g}]' for name, a, b in intervals])}",
            "unknowns": ", ".join(self.unknowns),
            "equations": _listed(self.equation_texts) or "none",
            "conditions": _listed(list(map(str, self.conditions))) or "none",
        }

    def __repr__(self) -> str:
        return f"<Problem {self.name}: {'; '.join(f'{name} {text}' for name, text in self.described().items())}>"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in self.described().items())
        return f"<h4>{html.escape(self.title or self.name)}</h4><table>{rows}</table>"


def text_of(formula: Field | RightHandSide) -> str:
    """A formula as it is written, "manufactured" for EXACT, "…" for a Python function."""
    if isinstance(formula, RightHandSide):
        return "manufactured"
    return str(getattr(formula, "text", getattr(formula, "number", "…")))


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
