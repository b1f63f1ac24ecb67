"""Users' files of fields on tensor grids: HDF5 with a dataset for each coordinate and each unknown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from pdekan.output.columns import listed
from pdekan.output.hdf5 import opened
from pdekan.output.samples import Array, OutputError


def read_grid(path: Path, coordinates: Sequence[str], fields: Sequence[str]) -> tuple[list[Array], dict[str, Array]]:
    """Axes ``(n_k,)`` and fields ``(n_1, …, n_d)`` over them, from the group "fields" or from the root.

    Raises OutputError for datasets that are missing, of another shape or not finite, and for axes that do not ascend.
    """
    with opened(path, "/") as root:
        group = root["fields"] if isinstance(root.get("fields"), h5py.Group) else root
        axes = [_array(group, name) for name in coordinates]
        for name, axis in zip(coordinates, axes, strict=True):
            if axis.ndim != 1 or len(axis) < 2 or not (np.diff(axis) > 0.0).all():
                raise OutputError(f"the coordinate {name} needs one axis of at least two numbers in ascending order")
        shape = tuple(len(axis) for axis in axes)
        values = {name: _array(group, name) for name in fields}
        for name, array in values.items():
            if array.shape != shape:
                raise OutputError(f"{name} has shape {array.shape}; the axes {', '.join(coordinates)} make it {shape}")
    return axes, values


def _array(group: h5py.Group, name: str) -> Array:
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        raise OutputError(f"no dataset of numbers named {name} in {group.name}; there are {listed(group)}")
    array = np.asarray(dataset[()], dtype=np.float64)
    if not np.isfinite(array).all():
        raise OutputError(f"{name} has values that are not finite; a tensor grid has to fill the domain")
    return array
