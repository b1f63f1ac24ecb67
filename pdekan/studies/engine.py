"""The trainings of a study, run in parallel by Dask workers on this machine or on a cluster."""

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
from pdekan.studies.rows import LOST, Row, RowFile, StudyError, Task, json_data, row_file

if TYPE_CHECKING:
    from distributed import Client, Future

Train = Callable[[Mapping[str, Any]], dict[str, Any]]

POLL_SECONDS = 0.5  # between two queries of the cluster
SCHEDULER_SECONDS = 30.0  # timeout for a scheduler that has answered before


@dataclass(frozen=True)
class StudyProgress:
    """The state of a study. done: its rows, failed: those of them without a result.

    workers and dashboard are None until there is a cluster; seconds_left, an estimate, until there is a row of this call.
    dashboard_has_pages: whether the scheduler has bokeh.
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
        """The number of trainings without a row."""
        return self.total - self.done

    @property
    def waits_for_workers(self) -> bool:
        """Whether trainings are pending and the cluster has no worker."""
        return self.workers == 0 and self.left > 0


# called at the start, after every row and about every half second; a reason, such as "interrupted", ends the study
StudyCallback = Callable[[StudyProgress], str | None]


def run(
    train: Train,
    tasks: Sequence[Task],
    directory: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    watch: StudyCallback | None = None,
    common: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Train every task without a row in ``directory/study.jsonl``, append a row for each, and return all in order.

    `train` is a function of a module that workers can import; it maps a configuration to a dict of JSON data. If it raises, the
    row has the failure. The task of a worker that dies is run again on another; a task whose workers all die gives a lost row,
    which the next call runs again. Calling `run` again resumes the study. `common` is added to every configuration that `train`
    gets, but not to its row: where to write files, for example.

    Without a `scheduler`, `workers` processes (default: the number of cores) with one thread each are started here and end
    with this process; a script then needs its ``if __name__ == "__main__":``. `scheduler` is the address, "tcp://host:port", of
    a Dask cluster; its workers finish the tasks they have when `watch` ends the study, and their results are discarded. Fewer
    rows than tasks are returned only where `watch` ended the study.

    Raises StudyError where another process writes the same study, its file has a line that is not a row, the scheduler does
    not answer, or a worker does not start or cannot import `train`; earlier rows are kept.
    """
    if workers is not None and (workers < 1 or scheduler is not None):
        raise StudyError("workers: a number from 1 up, and only without a scheduler, whose workers are its own")
    with row_file(directory) as file:
        file.forget([key for key in dict.fromkeys(task.key for task in tasks) if key in file.rows and file.rows[key].lost])
        study = _Study(train, tasks, file, watch, common or {})
        study.report()
        if study.continues:
            with cluster(workers, scheduler, len(study.pending)) as client:
                study.drive(client)
        return [file.rows[task.key] for task in tasks if task.key in file.rows]


def attempt(name: str, configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Call "module:train" in a worker; the result or the failure, and the seconds.

    Raises ImportError or AttributeError for a missing function, which is not a failure of this training.
    """
    train = resolve_name(name)
    started = time.perf_counter()
    result, failure = None, None
    try:
        result = json_data(train(configuration))
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
        """Call a function by its name."""
        from pkgutil import resolve_name

        return resolve_name(name)(*arguments)

    return call


# Dask pickles an inner function by value, so that a worker without pdekan raises ImportError instead of dying on unpickling
CALL = _called_by_name()


class _Study:
    """One call of `run`: the pending tasks and the reports to the watcher."""

    def __init__(
        self, train: Train, tasks: Sequence[Task], file: RowFile, watch: StudyCallback | None, common: Mapping[str, Any]
    ) -> None:
        self._name, self._file, self._watch, self._common = _name(train), file, watch, common
        self._keys = {task.key for task in tasks}
        self.pending = deque({task.key: task for task in tasks if task.key not in file.rows}.values())
        self._started, self._rows_before = time.monotonic(), self._done
        self._workers: int | None = None
        self._dashboard: str | None = None
        self._pages = False
        self._running: dict[Future[Any], Task] = {}
        self._reason: str | None = None

    @property
    def continues(self) -> bool:
        """Whether there are tasks and the watcher has not ended the study."""
        return self._reason is None and bool(self.pending or self._running)

    @property
    def _done(self) -> int:
        return len(self._keys & self._file.rows.keys())

    def drive(self, client: Client) -> None:
        """Train the pending tasks; append each row on completion."""
        with suppress(KeyError):  # a scheduler may have none
            self._dashboard = client.dashboard_link
        self._pages = client.run_on_scheduler(find_spec, "bokeh") is not None
        finished: SimpleQueue[Future[Any]] = SimpleQueue()
        while self.continues:
            self._submit(client, finished)
            newest = None
            try:
                future = finished.get(timeout=POLL_SECONDS)
                newest = _row(self._running.pop(future), future)
                self._file.append(newest)
            except Empty:
                pass
            self.report(newest)

    def _submit(self, client: Client, finished: SimpleQueue[Future[Any]]) -> None:
        """Submit as many tasks as there are threads: Dask blames a worker's death on all tasks that it was sent."""
        with _scheduler_errors():
            threads = client.nthreads(callback_timeout=SCHEDULER_SECONDS)
        self._workers = len(threads)
        while self.pending and len(self._running) < sum(threads.values()):
            task = self.pending.popleft()
            future = client.submit(CALL, f"{__name__}:attempt", self._name, {**task.configuration, **self._common}, pure=False)
            self._running[future] = task
            future.add_done_callback(finished.put)

    def report(self, newest: Row | None = None) -> None:
        """Call the watcher with the progress."""
        seconds = time.monotonic() - self._started
        new = self._done - self._rows_before
        progress = StudyProgress(
            total=len(self._keys),
            done=self._done,
            failed=sum(self._file.rows[key].failure is not None for key in self._keys & self._file.rows.keys()),
            workers=self._workers,
            seconds=seconds,
            seconds_left=seconds / new * (len(self._keys) - self._done) if new else None,
            dashboard=self._dashboard,
            dashboard_has_pages=self._pages,
            newest=newest,
        )
        if self._watch is not None:
            self._reason = self._watch(progress)


def _row(task: Task, future: Future[Any]) -> Row:
    """The row of a finished task. Raises StudyError for errors of the cluster."""
    from distributed.scheduler import KilledWorker

    with _scheduler_errors():
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
def _scheduler_errors() -> Iterator[None]:
    """Raise StudyError where the scheduler does not answer in the block."""
    try:
        yield
    except (OSError, CancelledError) as error:
        why = str(error) or f"not a word in {SCHEDULER_SECONDS:.0f} s"
        raise StudyError(f"the scheduler is gone ({why}); run the study again to go on from the rows there are") from None
