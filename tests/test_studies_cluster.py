"""Studies on a cluster that is running: every training is a row, once, whatever is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from study_engine import PATIENCE, TESTS, eventually, lines, refuse, sleepers

from pdekan.studies import cluster
from pdekan.studies.engine import StudyProgress, run
from pdekan.studies.rows import StudyError, Task


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))


def patient(progress: StudyProgress) -> str | None:
    return "waited in vain" if progress.seconds > PATIENCE else None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts Dask's own commands; they end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def command(name: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments, "--host", "127.0.0.1"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(words, env=os.environ | variables, cwd=tmp_path, **quiet))
        return started[-1]

    yield command
    for process in started:
        process.kill()
    for process in started:
        process.wait(PATIENCE)


def started_scheduler(start: Callable[..., subprocess.Popen[bytes]], directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    file = directory / "scheduler.json"
    process = start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    eventually(lambda: file.exists() and file.read_text().endswith("}"))
    return process, str(json.loads(file.read_text())["address"])


def test_worker_that_is_killed(tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """A study waits for workers and says so; of two, one is killed: every result is there, none twice."""
    import trainings

    _, address = started_scheduler(start, tmp_path)
    tasks = [Task(task) for task in sleepers(tmp_path, 10, 0.3)]
    workers: list[subprocess.Popen[bytes]] = []
    waited = killed = 0

    def watch(progress: StudyProgress) -> str | None:
        nonlocal waited, killed
        waited += progress.waits_for_workers
        if progress.waits_for_workers and not workers:
            workers.extend(start("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard") for _ in range(2))
        busy = {pid for _, pid in trainings.marks(tmp_path / "marks")}
        if progress.done >= 2 and len(busy) == 2 and not killed:
            killed = workers[0].pid
            workers[0].kill()
        return patient(progress)

    rows = run(trainings.sleep, tasks, tmp_path, scheduler=address, watch=watch)
    assert waited
    assert killed
    assert [row.result for row in rows] == [{"name": task.configuration["name"]} for task in tasks]
    assert len(lines(tmp_path)) == len(tasks)
    begun = trainings.marks(tmp_path / "marks")
    twice = [name for name, _ in begun if [other for other, _ in begun].count(name) > 1]
    assert len(begun) <= len(tasks) + 2  # what it had in hand, and what it had done and not been asked for yet
    assert all((name, killed) in begun for name in twice)


def test_cluster_that_is_no_use_or_is_left_or_goes_away(tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    import trainings

    scheduler, address = started_scheduler(start, tmp_path)
    given = sleepers(tmp_path, 6, 0.3)
    given[3]["seconds"] = 2.0
    tasks = [Task(task) for task in given]
    (tmp_path / "inner_network" / "pdekan").mkdir(parents=True)
    (tmp_path / "inner_network" / "pdekan" / "__init__.py").touch()
    worker = start("worker", address, "--no-nanny", "--no-dashboard", PYTHONPATH=str(tmp_path / "inner_network"))
    with pytest.raises(StudyError, match=r"worker cannot run .*No module named 'pdekan\.studies'"):
        run(trainings.sleep, tasks, tmp_path, scheduler=address, watch=patient)
    assert worker.poll() is None  # it could have been of use to others
    worker.kill()

    start("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard")
    rows = run(trainings.sleep, tasks, tmp_path, scheduler=address, watch=lambda p: "interrupted" if p.done >= 2 else None)
    assert [row.key for row in rows] == [task.key for task in tasks[:2]]
    assert len(lines(tmp_path)) == 2
    time.sleep(1.0)
    assert len(trainings.marks(tmp_path / "marks")) <= 3  # what it had in hand, and nothing after

    def watch(progress: StudyProgress) -> str | None:
        if progress.done >= 3 and progress.newest is None:
            threading.Timer(0.1, scheduler.kill).start()  # while a row is waited for
        return patient(progress)

    with pytest.raises(StudyError, match="scheduler is gone"):
        run(trainings.sleep, tasks, tmp_path, scheduler=address, watch=watch)
    assert len(lines(tmp_path)) == 3


def test_cluster_with_certificates(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of docs/scaling.md is enough for scheduler, worker and study; without it the scheduler answers nobody."""
    import dask
    import trainings
    from distributed import Security

    made = Security.temporary()
    (tmp_path / "cert.pem").write_text(made.tls_scheduler_cert)
    (tmp_path / "key.pem").write_text(made.tls_scheduler_key)
    docs = (TESTS.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    text = docs.partition("# tls.yaml")[2].partition("```")[0].replace("/home/me/dask", str(tmp_path))
    (tmp_path / "tls.yaml").write_text(text)
    file, variables = tmp_path / "scheduler.json", {"DASK_CONFIG": str(tmp_path)}
    start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(file), **variables)
    eventually(lambda: file.exists() and file.read_text().endswith("}"))
    address = str(json.loads(file.read_text())["address"])
    assert address.startswith("tls://")
    start("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard", **variables)

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    tasks = [Task(task) for task in sleepers(tmp_path, 2, 0.0)]
    for without in (address, address.replace("tls://", "tcp://")):
        with pytest.raises(StudyError, match="does not answer"):
            run(refuse, tasks, tmp_path, scheduler=without)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", PATIENCE)
    with dask.config.set(dask.config.merge(dask.config.config, dask.config.collect([str(tmp_path)], {}))):
        rows = run(trainings.sleep, tasks, tmp_path, scheduler=address, watch=patient)
    assert [row.result for row in rows] == [{"name": "t0"}, {"name": "t1"}]
