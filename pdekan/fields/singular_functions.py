"""Functions with singularities that are known, which a network has beside it."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from pdekan.fields.jets import Frame, Jet


class SingularFunctions(Protocol):
    """A dataclass of functions ψ_j of points. outputs: of a network, which they are added to; all where none is named."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def count(self) -> int:
        """The number of functions."""
        ...

    @property
    def outputs(self) -> tuple[int, ...]: ...

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """The functions at points ``(n, d)``, one component each."""
        ...
