"""What functions of a solution need of it: `solution.Solution` has more. The parameters that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pdekan.domains.base import Domain
from pdekan.errors.reference_solutions import ReferenceSolution
from pdekan.networks.base import Network
from pdekan.output.record import Record
from pdekan.output.samples import Samples
from pdekan.problems.problem import Problem


@dataclass(frozen=True)
class Found:
    """The value of a parameter that was found.

    standard_error: due to the noise of the data, None without data. on_bound: whether the value is one of its bounds.
    discretisation_error: estimated, see `training.estimate`, None where it is not.
    """

    value: float
    standard_error: float | None = None
    on_bound: bool = False
    discretisation_error: float | None = None


class Solved(Protocol):
    """A network that solves a problem on a domain; see `solution.Solution`."""

    @property
    def domain(self) -> Domain: ...
    @property
    def unknowns(self) -> tuple[str, ...]: ...
    @property
    def network(self) -> Network: ...
    @property
    def problem(self) -> Problem | None: ...
    @property
    def reference(self) -> ReferenceSolution | None: ...
    @property
    def found(self) -> Mapping[str, Found]: ...
    @property
    def outside(self) -> Literal["nan", "raise"]: ...

    def record(self) -> Record: ...

    def sample(self, shape: Sequence[int] | None = None, times: Sequence[float] | None = None) -> Samples: ...

    def plot(
        self, unknown: str | None = None, shape: Sequence[int] | None = None, times: Sequence[float] | None = None
    ) -> Any: ...

    def to_xarray(self, shape: Sequence[int] | None = None, times: Sequence[float] | None = None) -> Any: ...
