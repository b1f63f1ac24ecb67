"""The folder of a problem file, and which files a problem file may have read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from pdekan.domains.mesh_file import further_files
from pdekan.output.hdf5 import check_self_contained
from pdekan.output.samples import OutputError
from pdekan.problem_files.lexer import shortened
from pdekan.problems.formulas import ProblemError

MAX_BYTES = 200_000_000  # of a file: it is read whole, and text takes up to five times its size in memory
MAX_FILES = 100  # that one file names in turn
_KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """The directory of a problem file, where the files that it names are looked for.

    allow_outside: whether files outside of it, and outside of the folders below it, may be read too.
    """

    path: Path
    allow_outside: bool = False

    def file(self, name: str | os.PathLike[str]) -> Path:
        """The path of a file that a problem file names; it may be opened.

        Raises ProblemError, without opening it, for a file outside of the folder once symbolic links and ".." are resolved,
        unless those are allowed; for what is no regular file; and for a file of more than MAX_BYTES. A file that names further
        files is refused where one of those is.
        """
        path = self.path / name
        seen: set[str] = set()
        waiting = [path]
        while waiting:
            one = waiting.pop()
            real = self._checked(one)
            if real in seen:
                continue
            seen.add(real)
            if len(seen) > MAX_FILES:
                raise ProblemError(f"{path}: it names more than {MAX_FILES} further files; put the mesh into one file")
            try:
                check_self_contained(one)
            except OutputError as error:
                raise ProblemError(str(error)) from None
            waiting += further_files(one)
        return path

    def _checked(self, path: Path) -> str:
        """The path with links resolved, of a file that may be read."""
        shown = shortened(os.fspath(path), 200)
        try:
            real, root = os.path.realpath(path), os.path.realpath(self.path)
            if not self.allow_outside and os.path.commonpath([real, root]) != root:
                raise ProblemError(
                    f"{shown}: {_outside(path, real)} the problem file's directory {root}; files are read from there and from "
                    "folders below: copy the file there, or allow others by --allow-outside (allow_outside=True in Python)"
                )
            found = os.stat(real)
        except (OSError, ValueError) as error:
            if isinstance(error, ProblemError):
                raise
            raise ProblemError(f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not stat.S_ISREG(found.st_mode):
            raise ProblemError(f"{shown}: is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no regular file')}; a file is needed")
        if found.st_size > MAX_BYTES:
            raise ProblemError(
                f"{shown}: {found.st_size} bytes; at most {MAX_BYTES} are read, since it has to fit in memory; thin it out"
            )
        return real


def _outside(path: Path, real: str) -> str:
    """How a path comes to be outside."""
    return "is" + (f" a link to {real}," if os.path.abspath(path) != real else "") + " outside of"
