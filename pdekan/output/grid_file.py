"""Users' files of fields on grids or at points: HDF5, or netCDF 4, with a dataset for each coordinate and field; images."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from pdekan.output.columns import listed
from pdekan.output.hdf5 import opened
from pdekan.output.samples import Array, OutputError

BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue of an image: ITU-R BT.601
MOST = 4096  # pixels along a side of an image


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


def holds_points(path: Path) -> bool:
    """Whether a file has the attribute `scattered`: its fields then are values at points, and not on a grid."""
    with opened(path, "/") as root:
        return bool(root.attrs.get("scattered", False))


def read_points(
    path: Path, coordinates: Sequence[str], fields: Sequence[str]
) -> tuple[Array, dict[str, tuple[Array, Array]], float]:
    """Points ``(n, d)``, by field its values ``(n,)`` and slopes ``(n, d)``, and the relative accuracy that the file states.

    The slopes of u are u_x, u_y, …, nan where there are none; the accuracy is nan where it is not stated. Raises OutputError
    for datasets that are missing, of another length or not finite.
    """
    with opened(path, "/") as root:
        columns = [_array(root, name) for name in coordinates]
        found = {}
        for name in fields:
            slopes = [
                _array(root, f"{name}_{x}") if f"{name}_{x}" in root else np.full(len(columns[0]), np.nan) for x in coordinates
            ]
            found[name] = (_array(root, name), np.stack(slopes, 1))
        accuracy = float(root.attrs.get("accuracy", np.nan))
    lengths = {len(column) for column in columns} | {len(u) for u, _ in found.values()}
    if len(lengths) > 1 or any(column.ndim != 1 for column in columns):
        raise OutputError(f"{path}: the datasets of scattered points need one length, and have {sorted(lengths)}")
    return np.stack(columns, axis=1), found, accuracy


def _array(group: h5py.Group, name: str) -> Array:
    dataset = group.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iuf":
        raise OutputError(f"no dataset of numbers named {name} in {group.name}; there are {listed(group)}")
    array = np.asarray(dataset[()], dtype=np.float64)
    if not np.isfinite(array).all():
        raise OutputError(f"{name} has values that are not finite; a tensor grid has to fill the domain")
    return array


def read_dataset(path: Path, name: str, coordinates: Sequence[str]) -> tuple[list[str], list[Array], Array]:
    """Names and axes of the coordinates that a dataset depends on, in the order given, and its values ``(n_1, …, n_d)``.

    Its axes are those that it is attached to as dimension scales, or else those of the coordinates that are beside it, in the
    order given. Descending axes are turned round. Raises OutputError as `read_grid`.
    """
    with opened(path, "/") as root:
        values = _array(root, name)
        dataset = root[name]
        group = dataset.parent
        scales = [dim[0].name.rpartition("/")[2] if len(dim) else "" for dim in dataset.dims]
        names = scales if all(scales) else [one for one in coordinates if isinstance(group.get(one), h5py.Dataset)]
        if sorted(names) != sorted(set(names) & set(coordinates)) or len(names) != values.ndim or not names:
            raise OutputError(
                f"{name} has {values.ndim} axes, named {listed(names)}; they have to be among the coordinates "
                f"{', '.join(coordinates)}, each with a dataset of its values beside {name}"
            )
        axes = [_array(group, one) for one in names]
    for k, (one, axis) in enumerate(zip(names, axes, strict=True)):
        if axis.shape != values.shape[k : k + 1]:
            raise OutputError(f"{name} has {values.shape[k]} values along {one}, whose dataset has shape {axis.shape}")
        if len(axis) > 1 and (np.diff(axis) < 0.0).all():
            axes[k], values = axis[::-1], np.flip(values, k)
        if len(axis) < 2 or not (np.diff(axes[k]) > 0.0).all():
            raise OutputError(f"the coordinate {one} needs an axis of at least two numbers in ascending or descending order")
    order = [names.index(one) for one in coordinates if one in names]
    return [names[k] for k in order], [axes[k] for k in order], np.ascontiguousarray(np.transpose(values, order))


def read_image(path: Path) -> Array:
    """The brightness of a PNG file ``(columns, rows)``, from 0 to 1, columns from left to right and rows from below upwards.

    Raises OutputError for a file that is no such image, and for one of less than 2 or more than MOST pixels along a side.
    """
    from matplotlib.image import imread

    try:
        with path.open("rb") as file:
            width, height = struct.unpack(">16x2I", file.read(24))  # before an image is read that takes all memory
        allowed = min(width, height) >= 2 and max(width, height) <= MOST
        pixels = np.asarray(imread(str(path), format="png") if allowed else 0.0, dtype=np.float64)
    except Exception as error:  # readers raise any exception on a broken file
        raise OutputError(f"{path}: not a PNG image that can be read ({type(error).__name__}); save it again") from None
    if not allowed:
        raise OutputError(f"{path}: {width} x {height} pixels; from 2 to {MOST} along a side are allowed")
    grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] < 3 else pixels
    brightness = grey if grey.ndim == 2 else grey[..., :3] @ BRIGHTNESS
    return np.ascontiguousarray(brightness[::-1].T)
