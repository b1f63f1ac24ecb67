"""What a problem file names beside formulas: the domain, interfaces, tables, measurements and the reference solution."""

from __future__ import annotations

from dataclasses import dataclass

from pdekan.domains.base import Domain
from pdekan.problem_files import domains
from pdekan.problem_files.domains import built
from pdekan.problem_files.folder import Folder
from pdekan.problem_files.measurements import read_measurements
from pdekan.problem_files.names import REFERENCE
from pdekan.problem_files.reader import Source
from pdekan.problem_files.schema import ProblemFile
from pdekan.problem_files.table_files import read_table
from pdekan.problems.formulas import ProblemError
from pdekan.problems.parameters import Measurements
from pdekan.problems.problem import ELEMENTS
from pdekan.problems.tables import Table


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
