"""The directory of a run: where it is, which files it has, checkpoints while it trains, and writing."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdekan.output import vtkhdf
from pdekan.output.atomic import remove_orphans, write_bytes, write_text
from pdekan.output.record import finite
from pdekan.output.samples import OutputError
from pdekan.runs import summary
from pdekan.runs.lock import locked
from pdekan.solutions.sampling import grid_axes
from pdekan.solutions.solution import Solution, load_solution
from pdekan.solutions.stored_data import check_name
from pdekan.training.progress import Progress

if TYPE_CHECKING:
    from pdekan.output.network_figure import Drawing

LOG = logging.getLogger(__name__)
SOLUTION, HISTORY, PROBLEM, SUMMARY = "solution.vtkhdf", "history.jsonl", "problem.toml", "summary.json"
MODULE = "formula.py"
REPORT = "report.html"
FORMULA = ("formula.png", "formula.svg")
EXPORT, LINE = "export.vtkhdf", "line.csv"  # where no other file is asked for
PREVIOUS = "previous.vtkhdf"  # the checkpoint before the last one, while training
FIGURES = (
    "animation", "solution", "exact", "error", "profiles", "residual", "history", "members", "outputs", "surface", "network",
    "formula",
)  # fmt: skip
PICTURES = (".png", ".svg", ".pdf", ".gif", ".mp4")
CHECKPOINT_POINTS = 9  # an axis: a checkpoint is there to resume from, its samples are not looked at


def fresh_directory(name: str, root: Path = Path("outputs")) -> Path:
    """A new, empty directory root/name/NNN, numbered from 001; safe against other processes that do the same.

    Raises OutputError for a name that leads elsewhere.
    """
    check_name(name)
    parent = root / name
    parent.mkdir(parents=True, exist_ok=True)
    for earlier in parent.iterdir():
        remove_orphans(earlier)
    number = 1 + max((int(p.name) for p in parent.iterdir() if p.name.isdigit()), default=0)
    while True:
        directory = parent / f"{number:03d}"
        try:
            directory.mkdir()
            return directory
        except FileExistsError:
            number += 1


def remove_if_empty(directory: Path, root: Path = Path("outputs")) -> None:
    """Remove a run's directory if it is empty, and then its empty parents up to the root of all runs."""
    for folder in (directory, *directory.parents):
        if any(folder.iterdir()):
            return
        folder.rmdir()
        if root not in folder.parents:
            return


def latest_directory(name: str, file: str = SOLUTION, root: Path = Path("outputs")) -> Path:
    """The newest directory root/name/NNN by its file. Raises OutputError where there is none."""
    runs = [path for path in (root / name).glob("*") if (path / file).is_file()]
    if not runs:
        raise OutputError(f"no run of {name} under {root / name}: there is nothing to resume")
    return max(runs, key=lambda path: (path / file).stat().st_mtime)


def claim_directory(path: Path, force: bool) -> Path:
    """The directory that a user names, created if missing. Raises OutputError where it is not empty and force is off."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} exists and is not a directory")
    remove_orphans(path)
    if path.is_dir() and any(path.iterdir()) and not force:
        raise OutputError(f"{path} exists and is not empty; choose another directory, --resume it, or --force to overwrite it")
    path.mkdir(parents=True, exist_ok=True)
    return path


def output_directory(path: Path | None, name: str, force: bool) -> Path:
    """The directory that a user names, or a fresh one of a problem's name. Raises OutputError as `claim_directory`."""
    return fresh_directory(name) if path is None else claim_directory(path, force)


def solution_file(path: Path) -> Path:
    """The solution file of a run, given as its directory or as the file. Raises OutputError where there is none."""
    file = path / SOLUTION if path.is_dir() else path
    if file.suffix == ".toml":
        raise OutputError(f"{path}: a problem file is no run; `pdekan solve {path}` makes one of it")
    if not file.is_file():
        raise OutputError(f"{path}: no run here ({SOLUTION} is missing); `pdekan solve` prints where it left one")
    return file


def load_resumed(file: Path) -> Solution:
    """The solution of a run that goes on; where its file is damaged, that of the checkpoint before it, which takes its place.

    Raises OutputError where there is none.
    """
    try:
        return load_solution(file)
    except OutputError as error:
        previous = file.parent / PREVIOUS
        if not previous.is_file():
            raise
        solution = load_solution(previous)
        LOG.warning("%s; the run goes on from the checkpoint before it", error)
        write_bytes(file, previous.read_bytes())
        return solution


@contextmanager
def claimed(path: Path | None, name: str, force: bool) -> Iterator[Path]:
    """The same, locked for this process in the block; removed if the block raises and has written nothing."""
    directory = output_directory(path, name, force)
    with locked(directory):
        if path is not None:
            claim_directory(path, force)  # before the lock another process may have written a run
        try:
            yield directory
        except BaseException:
            remove_if_empty(directory)
            raise


class Checkpoints:
    """Saves the best solution so far at intervals of some seconds and on request, so that a killed training can be resumed.

    The one before it is kept beside it. requested: whether one is to be saved at once; a request before the first step waits
    for it. resumed: whether the solution that is there is of this run.
    """

    def __init__(
        self,
        directory: Path,
        requested: Callable[[], bool] = lambda: False,
        resumed: bool = False,
        seconds: float = 15.0,
    ) -> None:
        self._path, self._requested, self._resumed, self._seconds = directory / SOLUTION, requested, resumed, seconds
        self._next = time.monotonic() + seconds
        self._latest: Callable[[], Solution] | None = None
        self._saved = False

    def __call__(self, progress: Progress) -> None:
        """Take note of a step, and save if it is time."""
        self._latest, self._saved = progress.snapshot, False
        self.save_if_due()

    def save_if_due(self) -> None:
        """Save if requested, or if the last step is not saved and the last checkpoint is older than the interval."""
        due = not self._saved and time.monotonic() >= self._next
        if self._latest is None or not (self._requested() or due):
            return
        self._next, self._saved = time.monotonic() + self._seconds, True
        try:
            remove_results(self._path.parent)
            if self._resumed:
                write_bytes(self._path.parent / PREVIOUS, self._path.read_bytes())
            save_small(self._latest(), self._path)
            self._resumed = True
        except OSError as error:  # there may be space again
            LOG.warning("no checkpoint is written: %s", error)

    def latest(self) -> Solution | None:
        """The best solution up to the last step, None before the first one."""
        return None if self._latest is None else self._latest()


def write(
    solution: Solution,
    directory: Path,
    networks: Sequence[Drawing] = (),
    interrupted: Callable[[], bool] = lambda: False,
    figures: bool = True,
    report: bool = False,
) -> dict[str, Any]:
    """Write all files of a run; returns its summary, whose `files` are their paths: solution, history, problem, figures, …

    networks: drawings for one more figure. interrupted: called before every figure; once it is true no further one is drawn.
    figures: whether any is drawn. report: whether a page for browsers is written.
    """
    remove_results(directory)
    samples = solution.sample()
    try:
        vtkhdf.write(directory / SOLUTION, samples, solution.record())
    except OSError as error:  # of a full disk: the network may fit
        save_small(solution, directory / SOLUTION)
        raise OutputError(f"{error}; the network is written, and with space for figures --resume writes the rest") from error
    write_text(directory / HISTORY, _history_lines(solution))
    files = {"solution": directory / SOLUTION, "history": directory / HISTORY}
    if solution.problem is not None and solution.problem.text is not None:
        write_text(directory / PROBLEM, solution.problem.text)
        files["problem"] = directory / PROBLEM
    if figures:
        from pdekan.runs.figures import draw

        drawn = draw(solution, samples, directory, networks=networks, interrupted=interrupted)
        files |= {f"figure_{name}": path for name, path in drawn.items()}
    if report and not interrupted():
        files["report"] = Path(write_report(directory / SOLUTION))
    files["summary"] = directory / SUMMARY
    written = summary.of_run(solution, directory, {name: os.fspath(path) for name, path in files.items()})
    write_text(directory / SUMMARY, json.dumps(written, indent=2) + "\n")
    return written


def write_report(file: Path) -> str:
    """Write the page of a run beside its file; returns its path."""
    from pdekan.runs.report import run_report

    write_text(file.parent / REPORT, run_report(file))
    return os.fspath(file.parent / REPORT)


def written_summary(solution: Solution, directory: Path) -> dict[str, Any]:
    """The summary that a run was written with; the run is written again where that was left unfinished."""
    stated = summary.of_solution(solution)
    with suppress(OSError, ValueError, TypeError):
        written: dict[str, Any] = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))
        if all(written.get(name) == stated[name] for name in ("status", "iterations", "seconds")):
            return written
    return write(solution, directory)


def save_small(solution: Solution, path: Path) -> None:
    """Write a solution with few samples: enough to go on from, or to export and plot."""
    solution.save(path, (CHECKPOINT_POINTS,) * grid_axes(solution.domain))


def remove_results(directory: Path) -> None:
    """Remove what was made of the solution in a directory, before the solution is replaced: the files are always of one run.

    The summary, which lists figures, is the last one.
    """
    files = _results(directory) - {directory / SUMMARY}
    for path in (*files, directory / SUMMARY):
        path.unlink(missing_ok=True)


def _results(directory: Path) -> set[Path]:
    """The files that any run may have in a directory beside its solution, and the figures that its summary lists."""
    names = {HISTORY, PROBLEM, SUMMARY, EXPORT, LINE, PREVIOUS, MODULE, REPORT}
    names |= {f"{name}{suffix}" for name in FIGURES for suffix in PICTURES}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # no summary, or not one of a run
        files = json.loads((directory / SUMMARY).read_text(encoding="utf-8"))["files"]
        drawn = [Path(path).stem for name, path in files.items() if name.startswith("figure_")]
        names |= {f"{stem}{suffix}" for stem in drawn for suffix in PICTURES}
    return {directory / name for name in names}


def write_bound(solution: Solution, file: Path) -> None:
    """Write a solution's bound into its run's file, and into the summary beside it."""
    vtkhdf.write(file, vtkhdf.read_samples(file), solution.record())
    beside = file.parent / SUMMARY
    with suppress(FileNotFoundError):
        written = json.loads(beside.read_text(encoding="utf-8"))
        write_text(beside, json.dumps(written | {"bound": summary.of_solution(solution)["bound"]}, indent=2) + "\n")


def animate(run: Path, directory: Path) -> dict[str, str]:
    """Write animations of a run's solution in time; their paths by name. Raises OutputError where it has no time."""
    from pdekan.output.animation import write_animations

    samples = load_solution(solution_file(run)).sample()
    return {name: os.fspath(path) for name, path in write_animations(directory, samples).items()}


def redraw(run: Path, directory: Path, suffix: str) -> dict[str, str]:
    """Draw a run's figures again into a directory; returns their paths by name. Raises OutputError where there is no run."""
    from pdekan.runs.figures import draw, draw_surfaces
    from pdekan.runs.network_drawing import can_be_drawn, drawing

    solution = load_solution(solution_file(run))
    directory.mkdir(parents=True, exist_ok=True)
    networks = [drawing(solution)] if can_be_drawn(solution) else []
    samples = solution.sample()
    drawn = draw(solution, samples, directory, suffix, networks) | draw_surfaces(samples, directory, suffix)
    return {name: os.fspath(path) for name, path in drawn.items()}


def write_formula(solution: Solution, file: Path, drawn: Drawing) -> dict[str, str]:
    """Write a solution's formula into its run's file, a Python module and figures; returns the paths by name."""
    from pdekan.runs.figures import save_networks

    assert solution.formula is not None
    for name in (MODULE, *FORMULA):
        (file.parent / name).unlink(missing_ok=True)
    vtkhdf.write(file, vtkhdf.read_samples(file), solution.record())
    write_text(file.parent / MODULE, solution.formula["python"])
    files = {"solution": file, "module": file.parent / MODULE}
    for name in FORMULA:
        path = file.parent / name
        files[f"figure_formula_{path.suffix[1:]}"] = path
        save_networks([drawn], path)
    return {name: os.fspath(path) for name, path in files.items()}


def _history_lines(solution: Solution) -> str:
    """One JSON object a step; null for values that were not measured."""
    columns = {name: values.tolist() for name, values in solution.history.items()}
    lines = []
    for row in zip(*columns.values(), strict=True):
        cells = dict(zip(columns, row, strict=True))
        whole = {name: int(cells[name]) for name in ("step", "stage")}
        lines.append(json.dumps(finite(cells) | whole))
    return "".join(line + "\n" for line in lines)
