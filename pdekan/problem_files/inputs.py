"""What a problem file names beside formulas: the domain, interfaces, tables, measurements and the reference solution."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdekan.domains.base import Domain
from pdekan.fields.jets import TIME
from pdekan.output.columns import listed, read_columns
from pdekan.output.grid_file import read_dataset, read_image
from pdekan.output.samples import OutputError
from pdekan.problem_files import domains
from pdekan.problem_files.domains import built
from pdekan.problem_files.folder import Folder
from pdekan.problem_files.measurements import read_measurements
from pdekan.problem_files.names import REFERENCE
from pdekan.problem_files.reader import Source
from pdekan.problem_files.schema import ProblemFile
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import ELEMENTS
from pdekan.problems.tables import Interpolation, Table

POINTS, IMAGE = ".csv", ".png"


@dataclass(frozen=True)
class Inputs:
    """Reads what a validated file names, from the folder beside it; faults are noted in the source."""

    file: ProblemFile
    source: Source
    folder: Folder

    def domain(self) -> Domain:
        """The domain; raises ProblemFileError at once where there can be none, since all else is checked in it."""
        table = self.file.domain
        if isinstance(table, domains.Box):
            for name in table.intervals:
                with self.source.noting("domain", name):
                    domains.check_name(name)
            self.source.check()
        try:
            domain = built(table, self.folder)
            _ = domain.faces  # there are none of a half-space
        except ValueError as error:
            self.source.refuse(("domain",), str(error))
        return domain

    def interfaces(self) -> dict[str, Domain]:
        """The shapes whose boundaries are interfaces, by name."""
        shapes = {}
        for name, table in self.file.domain.interfaces.items():
            with self.source.noting("domain", "interfaces", name):
                shapes[name] = built(table, self.folder)
        return shapes

    def tables(self, domain: Domain) -> list[Table]:
        """The tables of [fields], read from their files."""
        found = []
        for name, table in self.file.fields.items():
            with self.source.noting("fields", name):
                path = self.folder.file(table.file)
                found.append(read_table(path, name, table.dataset or name, table.interpolation, domain))
        self.source.check()
        return found

    def measurements(self, domain: Domain) -> list[Measurements]:
        """The measurements of all [[data]], read from their files."""
        found = []
        for k, table in enumerate(self.file.data):
            with self.source.noting("data", k, "file"):
                found.append(read_measurements(self.folder.file(table.file), domain, tuple(self.file.unknowns), table.noise))
        return found

    def reference(self, stored: bool) -> str | None:
        """What errors are measured against: "fem", or a file beside the problem's.

        None where none is stated, and where a stored problem names a file that may not be read here, or not any more.
        """
        name = self.file.exact.get(REFERENCE)
        if name is None:
            return None
        if len(self.file.exact) > 1:
            self.source.add(("exact", REFERENCE), "stands where no formula is known; leave it out, or the formulas")
        if name == ELEMENTS:
            return name
        try:
            return str(self.folder.file(name))
        except ProblemError as error:
            if not stored:
                self.source.add(("exact", REFERENCE), str(error))
        return None


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
