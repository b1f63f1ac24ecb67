"""Networks: their jets at points and the rows of their Jacobians; any torch module as a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn.utils import parameters_to_vector

from pdekan.fields.elementary import slope
from pdekan.fields.jets import Derivatives, Frame, Jet
from pdekan.fields.multi_indices import Index, indices


class NoJacobian(ValueError):  # noqa: N818 - reads as what it is
    """A network has no Jacobian by rows; the message gives the reason and the optimizers that need none."""


class Trace(Protocol):
    """A network evaluated at n points, with what its derivatives by the parameters need."""

    @property
    def jet(self) -> Jet:
        """The output, with m components."""

    def rows(self, cotangent: Jet) -> Tensor:
        """Derivatives ``(n, P)`` of ⟨cotangent_i, jet_i⟩ by the flat parameters, row i for point i."""


class Network(nn.Module, ABC):
    """A map from ``(n, inputs)`` to ``(n, outputs)`` in float64 with derivatives by its inputs."""

    inputs: int
    outputs: int

    @abstractmethod
    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """Value and derivatives at points ``(n, inputs)``, with `outputs` components, differentiable by autograd."""

    def forward(self, points: Tensor) -> Tensor:
        """Values ``(n, outputs)`` at points ``(n, inputs)``."""
        names = tuple(f"x{k}" for k in range(self.inputs))
        return self.jet(points, Frame(names, Derivatives.VALUE)).value

    @property
    def linear_parameters(self) -> int:
        """How many trailing parameters the output depends on linearly."""
        return 0

    @property
    def homogeneous(self) -> bool:
        """Whether the outputs vanish where the trailing, linear parameters are zero."""
        return True

    @property
    def parameter_count(self) -> int:
        """How many trainable numbers there are."""
        return sum(p.numel() for p in self.parameters())

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

    @property
    def flat_parameters(self) -> Tensor:
        """A copy ``(P,)`` of the parameters, one after the other, without autograd's graph."""
        return parameters_to_vector(self.parameters()).detach()

    @property
    def numbers_at_a_point(self) -> int:
        """About how many numbers the arrays of an evaluation have for each point: at most as many as there are parameters."""
        return self.parameter_count

    def prepare(self, points: Tensor, frame: Frame) -> Jet | object:
        """What depends on the points alone: computed once, then passed to `trace`. Raises NoJacobian."""
        raise NoJacobian(f"{type(self).__name__} has no Jacobian by rows; choose optimizer lbfgs or adam")

    def trace(self, prepared: object, only_linear: bool = False) -> Trace:
        """The network evaluated at prepared points.

        only_linear: its rows have only the trailing columns, of the parameters that the outputs depend on linearly.
        """
        raise NoJacobian(f"{type(self).__name__} has no Jacobian by rows; choose optimizer lbfgs or adam")

    def normalise(self, points: Tensor, lazily: bool = False) -> None:
        """Map hidden nodes to the range that their activations are defined on; by default there is nothing to do.

        lazily: only those that have left it, or fill less than half of it.
        """

    def architecture(self) -> dict[str, Any]:
        """Kind and sizes as JSON, from which `networks.kinds.build` makes a network of the same kind; no parameters."""
        return {"kind": "module", "inputs": self.inputs, "outputs": self.outputs}


class JoinedNetwork(Network):
    """A network that others, of as many inputs and outputs, are the parts of."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.inputs, self.outputs = networks[0].inputs, networks[0].outputs

    @property
    def parts(self) -> list[Network]:
        """The networks, in their order."""
        return cast("list[Network]", list(self.networks))


class BoxNetwork(Network):
    """A network of widths [inputs, hidden…, outputs] on the box lower … upper, which is mapped to [-1, 1].

    Raises ValueError for widths that make no network.
    """

    def __init__(self, widths: Sequence[int], lower: Sequence[float] | None, upper: Sequence[float] | None) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths {list(widths)}: a network needs inputs, outputs and at least one node in each layer")
        self.widths = tuple(widths)
        self.inputs, self.outputs = self.widths[0], self.widths[-1]
        self.lower: Tensor
        self.upper: Tensor
        for name, corner, default in (("lower", lower, -1.0), ("upper", upper, 1.0)):
            values = [default] * self.inputs if corner is None else list(corner)
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))


def to_unit_box(points: Tensor, frame: Frame, lower: Tensor, upper: Tensor) -> Jet:
    """The coordinates of points ``(n, d)``, mapped from the box lower … upper to [-1, 1], as a field with d components."""
    scale = 2.0 / (upper - lower)
    position = frame.position(points)
    gradient = None if position.gradient is None else torch.diag(scale).expand(position.gradient.shape)
    return Jet(frame, (points - lower) * scale - 1.0, gradient, position.second, higher=position.higher)


class ModuleNetwork(Network):
    """A float64 copy of any `torch.nn.Module` from ``(n, inputs)`` to ``(n, outputs)``, differentiated by nested autograd.

    entries_at_once: entries of the Jacobian that are computed together; autograd holds a few dozen times as many numbers.
    For the Jacobian's rows the output at a point must not depend on the other points. `prepare` raises NoJacobian where it
    does, where it is random, and where `torch.func.vmap` does not know an operation of the module.
    """

    def __init__(self, module: nn.Module, inputs: int, outputs: int = 1, entries_at_once: int = 2**20) -> None:
        super().__init__()
        self.module = deepcopy(module).double()
        self.inputs, self.outputs, self.entries_at_once = inputs, outputs, entries_at_once

    @property
    def linear_parameters(self) -> int:
        """Those of the last layer of an `nn.Sequential` that is an `nn.Linear` whose parameters no other layer shares."""
        layers = list(self.module) if type(self.module) is nn.Sequential else []
        if not layers or type(layers[-1]) is not nn.Linear:
            return 0
        own = [id(p) for p in layers[-1].parameters()]
        uses = [id(p) for _, p in self.module.named_parameters(remove_duplicate=False)]
        alone = uses[-len(own) :] == own and not set(own) & set(uses[: -len(own)])
        return sum(p.numel() for p in layers[-1].parameters()) if alone else 0

    def prepare(self, points: Tensor, frame: Frame) -> tuple[Tensor, Frame]:
        sample = points[:3]
        try:
            together, one_by_one = self.forward(sample), vmap(_at_a_point(self.module), (None, 0))(self._constants(), sample)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise self._no_jacobian(str(error).split("\n")[0]) from error
        if not torch.allclose(together, one_by_one, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise self._no_jacobian("its output at a point depends on the points beside it, or on chance")
        return points, frame

    @torch.no_grad()
    def trace(self, prepared: object, only_linear: bool = False) -> ModuleTrace:
        points, frame = cast("tuple[Tensor, Frame]", prepared)
        return ModuleTrace(self.jet(points, frame).each(Tensor.detach), self, points, only_linear)

    def _constants(self) -> dict[str, Tensor]:
        """Parameters and buffers without autograd's graph; copies of buffers, which a module may write to."""
        parameters = {name: p.detach() for name, p in self.module.named_parameters()}
        return parameters | {name: b.clone() for name, b in self.module.named_buffers()}

    def _no_jacobian(self, reason: str) -> NoJacobian:
        name = type(self.module).__name__
        return NoJacobian(
            f"{name} cannot be differentiated point by point, as gauss-newton does ({reason}); choose optimizer lbfgs or adam"
        )

    def jet(self, points: Tensor, frame: Frame) -> Jet:
        """Value and derivatives by reverse-mode autograd, once for each output and coordinate."""
        if frame.level is Derivatives.VALUE:
            return Jet(frame, self.module(points))
        x = points.detach().requires_grad_()
        with torch.enable_grad():
            value = self.module(x)
            gradient = torch.stack([slope(value[:, m], x) for m in range(self.outputs)], dim=1)
            second = self._second(gradient, x, frame) if frame.level > Derivatives.GRADIENT else None
            higher = self._higher(gradient, x, frame) if frame.higher else None
        return Jet(frame, value, gradient, second, higher=higher)

    def _higher(self, gradient: Tensor, x: Tensor, frame: Frame) -> Tensor:
        """Third and fourth derivatives ``(n, outputs, h)``, each from one of the order below."""
        outputs = []
        for m in range(self.outputs):
            known: dict[Index, Tensor] = {(k,): gradient[:, m, k] for k in range(self.inputs)}
            slopes: dict[Index, Tensor] = {}
            for index in (*indices(self.inputs, 2, 2), *frame.higher):
                before = index[:-1]
                if before not in slopes:
                    slopes[before] = slope(known[before], x)
                known[index] = slopes[before][:, index[-1]]
            outputs.append(torch.stack([known[index] for index in frame.higher], dim=-1))
        return torch.stack(outputs, dim=1)

    def _second(self, gradient: Tensor, x: Tensor, frame: Frame) -> Tensor:
        columns = frame.space if frame.level is Derivatives.SUMMED else range(self.inputs)
        outputs = []
        for m in range(self.outputs):
            hessian = {k: slope(gradient[:, m, k], x) for k in columns}
            if frame.is_full:
                i, j = frame.packed
                outputs.append(torch.stack([hessian[a][:, b] for a, b in zip(i, j, strict=True)], dim=-1))
                continue
            diagonal = torch.stack([hessian[k][:, k] for k in columns], dim=-1)
            outputs.append(diagonal.sum(-1, keepdim=True) if frame.level is Derivatives.SUMMED else diagonal)
        return torch.stack(outputs, dim=1)


@dataclass(frozen=True)
class ModuleTrace:
    """A module evaluated at points ``(n, inputs)``; see `Trace`."""

    jet: Jet
    network: ModuleNetwork
    points: Tensor
    only_linear: bool

    def rows(self, cotangent: Jet) -> Tensor:
        """Rows of the Jacobian by reverse mode over reverse mode, some points at a time so that memory stays bounded.

        Raises NoJacobian where `torch.func` does not know a derivative of the module.
        """
        network, frame = self.network, self.jet.frame
        constants = network._constants()
        variables = {name: constants.pop(name) for name, _ in network.module.named_parameters()}
        if self.only_linear:
            variables, rest = _trailing(variables, network.linear_parameters)
            constants |= rest
        if not variables:
            return self.points.new_zeros(len(self.points), 0)
        module = _at_a_point(network.module)

        def pairing(parameters: dict[str, Tensor], constants: dict[str, Tensor], x: Tensor, weights: list[Tensor]) -> Tensor:
            """⟨cotangent, jet⟩ at one point."""
            state = parameters | constants
            total = (weights[0] * module(state, x)).sum()
            if len(weights) > 1:
                first = jacrev(module, 1)
                total = total + (weights[1] * first(state, x)).sum()
            if len(weights) > 2:
                second = jacrev(first, 1)
                total = total + (weights[2] * _kept_second(second(state, x), frame)).sum()
            if len(weights) > 3:
                total = total + (weights[3] * _kept_higher(second, state, x, frame)).sum()
            return total

        weights = [part for part in (cotangent.value, *cotangent.derivatives) if part is not None]
        chunk = max(1, network.entries_at_once // sum(p.numel() for p in variables.values()))
        differentiate = vmap(grad(pairing), (None, None, 0, 0), chunk_size=chunk)
        try:
            slopes = differentiate(variables, constants, self.points, weights)
        except (RuntimeError, NotImplementedError) as error:
            raise network._no_jacobian(str(error).split("\n")[0]) from error
        return torch.cat([part.reshape(len(self.points), -1) for part in slopes.values()], dim=1)


def _at_a_point(module: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    """The module as a function of its state and one point ``(inputs,)``, with values ``(outputs,)``."""

    def value(state: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = functional_call(module, state, (x[None],))[0]
        return output

    return value


def _trailing(parameters: dict[str, Tensor], count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The last parameters that have `count` entries together, and the others."""
    names = list(parameters)
    while count > 0:
        count -= parameters[names.pop()].numel()
    rest = {name: parameters[name] for name in names}
    return {name: p for name, p in parameters.items() if name not in rest}, rest


def _kept_second(hessian: Tensor, frame: Frame) -> Tensor:
    """The second derivatives ``(m, s)`` that a frame keeps of a Hessian ``(m, d, d)``."""
    if frame.is_full:
        i, j = frame.packed
        return hessian[:, i, j]
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    return diagonal[:, frame.space].sum(1, keepdim=True) if frame.level is Derivatives.SUMMED else diagonal


def _kept_higher(
    second: Callable[[dict[str, Tensor], Tensor], Tensor], state: dict[str, Tensor], x: Tensor, frame: Frame
) -> Tensor:
    """The third and fourth derivatives ``(m, h)`` that a frame keeps, from the function of the Hessian ``(m, d, d)``."""
    third = jacrev(second, 1)
    found = {3: third(state, x)}
    if frame.order == 4:
        found[4] = jacrev(third, 1)(state, x)
    return torch.stack([found[len(index)][(slice(None), *index)] for index in frame.higher], dim=-1)
