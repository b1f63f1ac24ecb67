"""Tables of problem files: reading them from HDF5, netCDF 4, CSV and PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pdekan.domains.base import Domain
from pdekan.fields.jets import TIME
from pdekan.output.columns import listed, read_columns
from pdekan.output.grid_file import read_dataset
from pdekan.output.image_file import read_image
from pdekan.output.samples import OutputError
from pdekan.problems.formulas import ProblemError
from pdekan.problems.tables import Interpolation, Table

POINTS, IMAGE = ".csv", ".png"


def read_table(path: Path, name: str, dataset: str, interpolation: Interpolation, domain: Domain) -> Table:
    """The table of a dataset on a regular grid or, in a CSV file, of a column of values at points, or of an image's brightness.

    Raises ProblemError for a file that cannot be read, for a table that does not cover the domain, and as `Table`.
    """
    try:
        if path.suffix.lower() == POINTS:
            table = _points(path, name, dataset, interpolation, domain)
        elif path.suffix.lower() == IMAGE:
            table = _image(path, name, interpolation, domain)
        else:
            coordinates, axes, values = read_dataset(path, dataset, domain.coordinates)
            table = Table(name, tuple(coordinates), values, tuple(axes), None, interpolation)
    except OutputError as error:
        raise ProblemError(str(error)) from None
    try:
        table.check_covers(domain)
    except ProblemError as error:
        raise ProblemError(f"{path}: {error}") from None
    return table


def _image(path: Path, name: str, interpolation: Interpolation, domain: Domain) -> Table:
    """The table of an image: the middles of its outermost pixels lie on the sides of the box around the domain."""
    space = [k for k, one in enumerate(domain.coordinates) if one != TIME][:2]
    if len(space) < 2:
        raise ProblemError(f"{path}: an image is a function of two coordinates of space, and the domain has one")
    values = read_image(path)
    axes = tuple(np.linspace(domain.lower[k], domain.upper[k], n) for k, n in zip(space, values.shape, strict=True))
    return Table(name, tuple(domain.coordinates[k] for k in space), values, axes, None, interpolation)


def _points(path: Path, name: str, column: str, interpolation: Interpolation, domain: Domain) -> Table:
    """The table of a column; along a line its rows are sorted, which makes them a grid."""
    columns = read_columns(path)
    coordinates = tuple(one for one in domain.coordinates if one in columns)
    if column not in columns or not coordinates:
        wanted = f"columns {column} and one or more of {', '.join(domain.coordinates)}"
        raise ProblemError(f"{path}: {wanted} are needed; its columns are {listed(columns)}")
    points, values = np.stack([columns[one] for one in coordinates], axis=1), columns[column]
    bad = np.flatnonzero(~np.isfinite(np.column_stack([points, values])).all(axis=1))
    if len(bad):
        raise ProblemError(f"{path}: row {bad[0] + 1}: a cell of {', '.join(coordinates)} or {column} is no finite number")
    if len(values) < 2:
        raise ProblemError(f"{path}: a table needs at least two points")
    if len(coordinates) > 1:
        return Table(name, coordinates, values, (), points, interpolation)
    order = np.argsort(points[:, 0])
    axis = points[order, 0]
    if not (np.diff(axis) > 0.0).all():
        raise ProblemError(f"{path}: two rows are at the same {coordinates[0]}; leave out one of them")
    return Table(name, coordinates, values[order], (axis,), None, interpolation)
