"""Solutions for other programs: files whose ending says their kind."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pdekan.networks.base import Network
from pdekan.output import pvd, vtkhdf
from pdekan.output.atomic import write_bytes
from pdekan.output.samples import OutputError
from pdekan.solutions.solved import Solved

Shape = Sequence[int] | None
Times = Sequence[float] | None
FEW = 7  # points that a network is traced at


class _Unknowns(nn.Module):
    """The unknowns ``(n, unknowns)`` at points ``(n, d)``, without the parameters, which are outputs of the network too."""

    def __init__(self, network: Network, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, points: Tensor) -> Tensor:
        values: Tensor = self.network(points)
        return values[:, : self.count]


def program(solution: Solved) -> torch.export.ExportedProgram:
    """The network as a program of torch's own operations, for any number of points, in float64.

    It maps points ``(n, d)`` in physical coordinates to the unknowns ``(n, unknowns)``, and knows nothing of the domain. Raises
    OutputError for networks that torch cannot trace, such as those on cells.
    """
    lower, upper = (torch.tensor(corner, dtype=torch.float64) for corner in (solution.domain.lower, solution.domain.upper))
    points = lower + torch.linspace(0.1, 0.9, FEW, dtype=torch.float64)[:, None] * (upper - lower)
    module = _Unknowns(solution.network, len(solution.unknowns)).cpu().eval()
    sizes = ({0: torch.export.Dim("n", min=1, max=2**31 - 1)},)
    try:
        with torch.no_grad():
            module(points)  # fills caches with numbers
            return torch.export.export(module, (points,), dynamic_shapes=sizes, strict=False)
    except (RuntimeError, NotImplementedError, torch._dynamo.exc.UserError) as error:
        kind = type(solution.network).__name__
        raise OutputError(f"{kind}: torch cannot export it ({str(error).splitlines()[0]})") from None


def _hdf5(solution: Solved, path: Path, shape: Shape, times: Times) -> None:
    vtkhdf.write(path, solution.sample(shape, times), solution.record())


def _collection(solution: Solved, path: Path, shape: Shape, times: Times) -> None:
    pvd.write(path, solution.sample(shape, times))


def _figure(solution: Solved, path: Path, shape: Shape, times: Times) -> None:
    from pdekan.output import figures  # matplotlib takes a third of a second

    figures.save(solution.plot(shape=shape, times=times), path)


def _netcdf(solution: Solved, path: Path, shape: Shape, times: Times) -> None:
    with _extra(path, "viz"), tempfile.TemporaryDirectory() as folder:  # xarray before 2025.7 writes no HDF5 to a buffer
        file = Path(folder) / "fields.nc"
        solution.to_xarray(shape, times).to_netcdf(file, engine="h5netcdf")
        write_bytes(path, file.read_bytes())


def _torch(solution: Solved, path: Path, shape: Shape, times: Times) -> None:
    buffer = io.BytesIO()
    exported = program(solution)
    with _quiet():
        torch.export.save(exported, buffer)
    write_bytes(path, buffer.getvalue())


def _onnx(solution: Solved, path: Path, shape: Shape, times: Times) -> None:
    exported = program(solution)
    try:
        with _extra(path, "onnx"), _quiet():
            model = torch.onnx.export(exported, dynamo=True, input_names=["points"], output_names=list(solution.unknowns)[:1])
    except (TypeError, RuntimeError) as error:  # torch 2.4 takes no programs; 2.5 and early onnxscript not all operations
        versions = f"torch {torch.__version__} and the onnxscript that is installed"
        raise OutputError(
            f"{path}: {versions} cannot write it ({type(error).__name__}); newer ones can: pip install -U torch onnx onnxscript"
        ) from None
    assert model is not None
    write_bytes(path, model.model_proto.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch writes, logs and warns of when it exports: itself, and libraries not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _extra(path: Path, name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise OutputError(f"{path}: {error}; pip install 'pdekan[{name}]'") from None


WRITERS: dict[str, Callable[[Solved, Path, Shape, Times], None]] = {
    ".vtkhdf": _hdf5, ".h5": _hdf5, ".hdf5": _hdf5, ".pvd": _collection, ".nc": _netcdf, ".png": _figure, ".svg": _figure,
    ".pdf": _figure, ".pt2": _torch, ".onnx": _onnx,
}  # fmt: skip


def save(solution: Solved, path: str | os.PathLike[str], shape: Shape = None, times: Times = None) -> None:
    """Write a file of the kind that its ending names, whole or not at all. Raises OutputError for another ending."""
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        line = "; CSV is written along a line, by `pdekan export RUN --line`" if path.suffix.lower() == ".csv" else ""
        raise OutputError(f"{path}: the ending says what is written: {', '.join(WRITERS)}{line}")
    WRITERS[path.suffix.lower()](solution, path, shape, times)
