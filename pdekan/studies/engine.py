"""The trainings of a study, run side by side by Dask workers, on this machine or on a cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from pdekan.studies.cluster import cluster
from pdekan.studies.rows import LOST, Row, RowFile, StudyError, Task, plain, row_file

if TYPE_CHECKING:
    from distributed import Client, Future

Train = Callable[[Mapping[str, Any]], dict[str, Any]]

TICK = 0.5  # seconds between two looks at the cluster
PATIENCE_SECONDS = 30.0  # for a scheduler that has answered before


@dataclass(frozen=True)
class Progress:
    """Where a study stands. done counts the rows there are, failed those of them without a result.

    workers and dashboard are None until there is a cluster; seconds_left, a guess, until there is a row of this call.
    The dashboard's address shows pages only where the scheduler has bokeh.
    """

    total: int
    done: int
    failed: int
    workers: int | None
    seconds: float
    seconds_left: float | None
    dashboard: str | None
    dashboard_has_pages: bool
    newest: Row | None

    @property
    def left(self) -> int:
        """How many trainings have no row yet."""
        return self.total - self.done

    @property
    def waits_for_workers(self) -> bool:
        """Whether nothing goes on because the cluster has no worker."""
        return self.workers == 0 and self.left > 0


# called at the start, after every row and about every half second; a reason, such as "interrupted", ends the study
Watcher = Callable[[Progress], str | None]


def run(
    train: Train,
    tasks: Sequence[Task],
    directory: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    watch: Watcher | None = None,
) -> list[Row]:
    """Train every task that has no row in ``directory/study.jsonl`` yet, append a row for each, and return them in order.

    `train` is a function of a module that workers can import: a configuration in, a dict that JSON can hold out. Where it
    raises, the row holds the failure. A task in hand when its worker dies is run again on another one; a task that outlives
    no worker is a row that is lost, and the next call tries it again. Calling `run` again is resuming.

    Without a `scheduler`, `workers` processes (default: as many as there are cores for this process) are started here with
    one thread each, and end with this process, however it ends; a script then needs its ``if __name__ == "__main__":``.
    `scheduler` is the address, "tcp://host:port", of a Dask cluster; what its workers have in hand when `watch` ends the
    study they finish for nothing. Fewer rows than tasks come back only where `watch` ended the study.

    Raises StudyError where another process writes the same study, its file holds a line that is no row, the scheduler does
    not answer or goes away, or a worker does not start or cannot import `train`; rows that came before it are kept.
    """
    if workers is not None and (workers < 1 or scheduler is not None):
        raise StudyError("workers: a number from 1 up, and only without a scheduler, whose workers are its own")
    with row_file(directory) as file:
        file.forget([key for key in dict.fromkeys(task.key for task in tasks) if key in file.rows and file.rows[key].lost])
        study = _Study(train, tasks, file, watch)
        study.report()
        if study.goes_on:
            with cluster(workers, scheduler, len(study.pending)) as client:
                study.drive(client)
        return [file.rows[task.key] for task in tasks if task.key in file.rows]


def attempt(name: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker does: call "module:train", and tell its result or failure, and the seconds it took.

    Raises ImportError or AttributeError where the function is not there: that is no failure of this training.
    """
    train = resolve_name(name)
    started = time.perf_counter()
    result, failure = None, None
    try:
        result = plain(train(configuration))
        if not isinstance(result, dict):
            raise TypeError(f"{name} returned {type(result).__name__}, not a dict")
    except (Exception, SystemExit) as error:
        result, failure = None, f"{type(error).__name__}: {error}"
    return {"result": result, "failure": failure, "seconds": time.perf_counter() - started}


def _name(train: Train) -> str:
    name = f"{train.__module__}:{train.__qualname__}"
    if "<" in name:
        raise StudyError(f"{name}: workers find a function by its name, so it has to stand in a module, outside of others")
    return name


def _called_by_name() -> Callable[..., Any]:
    def call(name: str, *arguments: Any) -> Any:
        from pkgutil import resolve_name

        return resolve_name(name)(*arguments)

    return call


# Dask sends an inner function whole, not as a name: a worker that has no pdekan can then say so, where it would die of the name
CALL = _called_by_name()


class _Study:
    """One call of `run`: what is still to be trained, and what the watcher is told."""

    def __init__(self, train: Train, tasks: Sequence[Task], file: RowFile, watch: Watcher | None) -> None:
        self._name, self._file, self._watch = _name(train), file, watch
        self._keys = {task.key for task in tasks}
        self.pending = deque({task.key: task for task in tasks if task.key not in file.rows}.values())
        self._started, self._rows_before = time.monotonic(), self._done
        self._workers: int | None = None
        self._dashboard: str | None = None
        self._pages = False
        self._in_hand: dict[Future[Any], Task] = {}
        self._reason: str | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there is something to do and the watcher lets it be done."""
        return self._reason is None and bool(self.pending or self._in_hand)

    @property
    def _done(self) -> int:
        return len(self._keys & self._file.rows.keys())

    def drive(self, client: Client) -> None:
        """Train what is pending; append each row as it comes."""
        with suppress(KeyError):  # a scheduler may be without one
            self._dashboard = client.dashboard_link
        # only the scheduler's own machine knows whether it can draw them
        self._pages = client.run_on_scheduler(find_spec, "bokeh") is not None
        finished: SimpleQueue[Future[Any]] = SimpleQueue()
        while self.goes_on:
            self._submit(client, finished)
            newest = None
            try:
                future = finished.get(timeout=TICK)
                newest = _row(self._in_hand.pop(future), future)
                self._file.append(newest)
            except Empty:
                pass
            self.report(newest)

    def _submit(self, client: Client, finished: SimpleQueue[Future[Any]]) -> None:
        """Hand out no more than there are threads: Dask holds a worker's death against all that had been sent to it."""
        with _answering():
            threads = client.nthreads(callback_timeout=PATIENCE_SECONDS)
        self._workers = len(threads)
        while self.pending and len(self._in_hand) < sum(threads.values()):
            task = self.pending.popleft()
            future = client.submit(CALL, f"{__name__}:attempt", self._name, task.configuration, pure=False)
            self._in_hand[future] = task
            future.add_done_callback(finished.put)

    def report(self, newest: Row | None = None) -> None:
        """Tell the watcher, and hear whether to go on."""
        seconds = time.monotonic() - self._started
        here = self._done - self._rows_before
        progress = Progress(
            total=len(self._keys),
            done=self._done,
            failed=sum(self._file.rows[key].failure is not None for key in self._keys & self._file.rows.keys()),
            workers=self._workers,
            seconds=seconds,
            seconds_left=seconds / here * (len(self._keys) - self._done) if here else None,
            dashboard=self._dashboard,
            dashboard_has_pages=self._pages,
            newest=newest,
        )
        if self._watch is not None:
            self._reason = self._watch(progress)


def _row(task: Task, future: Future[Any]) -> Row:
    """The row of a task whose future is done. Raises StudyError where that says more of the cluster than of the task."""
    from distributed.scheduler import KilledWorker

    with _answering():
        error = future.exception()
        if error is None:
            return Row(task.key, task.configuration, **future.result())
    if isinstance(error, KilledWorker):
        deaths = f"{LOST}: {error.allowed_failures + 1} workers died, one after the other, with this training in hand"
        return Row(task.key, task.configuration, result=None, failure=deaths, seconds=None)
    raise StudyError(
        f"a worker cannot run the training ({type(error).__name__}: {error}); every worker needs the same pdekan as here, and "
        "the module that trains, in its environment"
    )


@contextmanager
def _answering() -> Iterator[None]:
    """Raises StudyError where the block finds the scheduler gone, or silent."""
    try:
        yield
    except (OSError, CancelledError) as error:
        why = str(error) or f"not a word in {PATIENCE_SECONDS:.0f} s"
        raise StudyError(f"the scheduler is gone ({why}); run the study again to go on from the rows there are") from None
