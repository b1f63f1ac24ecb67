"""Studies are whole: every training is a row, once, whatever is killed or interrupted; their processes are real here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from study_engine import PATIENCE, TESTS, eventually, lines, refuse, row, sleepers

from pdekan.studies import cluster
from pdekan.studies.engine import StudyProgress, run
from pdekan.studies.rows import RowFile, StudyError, Task, json_data, row_file


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))


# --- tasks and rows


def test_key_is_the_hash_of_the_canonical_text() -> None:
    assert Task({"b": [1.0, True], "a": 0.5}).key == "bd3957c2fbc135f4"  # of {"a":0.5,"b":[1,true]}, by sha256sum


def test_key_knows_neither_order_nor_spelling_of_numbers() -> None:
    given = Task({"a": 1, "b": {"x": 2.0, "y": [3, (4,)]}})
    assert given.key == Task({"b": {"y": [3.0, [4.0]], "x": 2}, "a": 1.0}).key
    others = [{"a": 1}, {"a": True}, {"a": "1"}, {"a": [1]}, {"a": None}, {"a": 1.5}, {"b": 1}]
    assert len({Task(other).key for other in others}) == len(others)


def test_task_holds_what_is_read_back() -> None:
    assert Task({"hidden": (5, 3), "seconds": 2.0}).configuration == {"hidden": [5, 3], "seconds": 2.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_task_that_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(StudyError, match="JSON"):
        Task({"x": value})


def test_rows_are_there_after_reopening(tmp_path: Path) -> None:
    rows = [row(0), row(1, result=None, failure="ValueError: Größe\n"), row(2, result={"a": [None, 1.5]}, seconds=None)]
    with row_file(tmp_path / "new" / "study") as file:
        for each in rows:
            file.append(each)
    assert list(RowFile(tmp_path / "new" / "study" / "study.jsonl").rows.values()) == rows


def test_line_that_was_cut_is_dropped_wherever_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    first, second = row(0), row(1)
    for length in range(len(second.line)):
        path.write_text(first.line + second.line[:length])
        file = RowFile(path)
        assert list(file.rows.values()) == [first]
        assert path.read_text() == first.line
    file.append(second)
    assert path.read_text() == first.line + second.line


def test_line_that_was_spoilt_is_named(tmp_path: Path) -> None:
    for spoilt in ("{}", "[]", "nonsense", row(1).line.strip() + "}"):
        (tmp_path / "study.jsonl").write_text(row(0).line + spoilt + "\n" + row(2).line)
        with pytest.raises(StudyError, match=r"study\.jsonl, line 2"):
            run(refuse, [], tmp_path)


def test_no_key_has_two_rows(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    path.write_text(row(0).line + row(1).line + row(0, seconds=9.0).line)
    RowFile(path)
    assert path.read_text() == row(0).line + row(1).line


def test_values_are_plain() -> None:
    assert json_data({"a": (float("nan"), 1.0), "b": float("-inf")}) == {"a": [None, 1.0], "b": None}


# --- without a cluster


def test_finished_study_starts_nothing(tmp_path: Path) -> None:
    other, second, first = row(7), row(1), row(0, result=None, failure="ValueError: no")
    with row_file(tmp_path) as file:
        for each in (other, second, first):
            file.append(each)
    seen: list[StudyProgress] = []
    tasks = [Task({"n": n}) for n in (0, 1.0, 0)]
    assert run(refuse, tasks, tmp_path, watch=seen.append) == [first, second, first]
    assert [(p.total, p.done, p.failed, p.left, p.workers) for p in seen] == [(2, 2, 1, 0, None)]
    assert len(lines(tmp_path)) == 3  # what the study does not ask for is left alone


def test_watcher_may_end_it_before_it_begins(tmp_path: Path) -> None:
    assert run(refuse, [Task({"n": 0})], tmp_path, watch=lambda _: "interrupted") == []


def test_study_has_one_driver(tmp_path: Path) -> None:
    with row_file(tmp_path), pytest.raises(StudyError, match="another process"):
        run(refuse, [], tmp_path)
    assert run(refuse, [], tmp_path) == []


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    for workers, scheduler in ((0, None), (2, "tcp://127.0.0.1:8786")):
        with pytest.raises(StudyError, match="workers"):
            run(refuse, [], tmp_path, workers=workers, scheduler=scheduler)
    with pytest.raises(StudyError, match="lambda"):
        run(lambda configuration: {}, [], tmp_path)


def test_scheduler_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute, socket.create_server(("127.0.0.1", 0)) as gone:
        ports = [server.getsockname()[1] for server in (mute, gone)]
        gone.close()
        for address in [*(f"tcp://127.0.0.1:{port}" for port in ports), "tcp://127.0.0.1", "nonsense", "odd://127.0.0.1:1"]:
            with pytest.raises(StudyError, match="does not answer"):
                run(refuse, [Task({"n": 0})], tmp_path, scheduler=address)


# --- on this machine


def test_every_end_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    import trainings

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before, children = dict(os.environ), set(psutil.Process().children())  # of other tests
    antidote = tmp_path / "antidote"
    kinds = ["threads", "deadly", "not finite", "raises", "exits", "returns nothing", "returns no JSON", "well"]
    tasks = [Task({"kind": kind, "antidote": str(antidote)}) for kind in kinds]
    seen: list[StudyProgress] = []
    # a single worker, so that whatever is handed out beside the deadly one is with it when it dies
    rows = run(trainings.troubled, tasks, tmp_path, workers=1, watch=seen.append)

    assert [row.key for row in rows] == [task.key for task in tasks]
    end = dict(zip(kinds, rows, strict=True))
    assert end["threads"].result == {"torch": 1, "variable": "1"}
    finite = {"error": None, "history": [1.0, [None, {"x": None}]], "whole": 3, "name": "Größe\n"}
    assert (end["not finite"].result, end["not finite"].failure) == (finite, None)
    assert (end["raises"].result, end["raises"].failure) == (None, "ValueError: no such width: 0")
    assert end["exits"].failure == "SystemExit: 3"
    assert str(end["returns nothing"].failure).startswith("TypeError: trainings:troubled returned NoneType")
    assert str(end["returns no JSON"].failure).startswith("TypeError: ")
    assert end["well"].result == {"kind": "well"}
    assert str(end["deadly"].failure).startswith("lost: 4 workers died")
    assert [row.lost for row in rows] == [kind == "deadly" for kind in kinds]

    assert sorted(each["key"] for each in lines(tmp_path)) == sorted(task.key for task in tasks)
    assert {p.newest.key for p in seen if p.newest} == {task.key for task in tasks}
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[-1].done, seen[-1].failed, seen[-1].left, seen[-1].seconds_left) == (8, 5, 0, 0.0)
    assert {p.workers for p in seen} == {None, 0, 1}
    assert str(seen[-1].dashboard).startswith("http://127.0.0.1:")
    assert seen[-1].dashboard_has_pages
    assert dict(os.environ) == before
    left = set(psutil.Process().children()) - children
    assert all("resource_tracker" in " ".join(child.cmdline()) for child in left)

    antidote.touch()
    again = run(trainings.troubled, tasks, tmp_path, workers=1)
    assert [now for now, then in zip(again, rows, strict=True) if not then.lost] == [then for then in rows if not then.lost]
    assert again[1].result == {"kind": "deadly"}
    assert sorted(each["key"] for each in lines(tmp_path)) == sorted(task.key for task in tasks)
    assert capfd.readouterr() == ("", "")


def test_driver_that_is_interrupted_killed_and_started_again(tmp_path: Path) -> None:
    """Ctrl-C reaches no worker, not even one that took a dead one's place; a kill leaves no process and no lock."""
    import trainings

    tasks = sleepers(tmp_path, 8, 0.2, dies=True)
    tasks[1]["until"] = str(tmp_path / "go")  # so that there is something left, however long it takes
    code = "import json, sys, pathlib, trainings; trainings.drive(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))"
    command = [sys.executable, "-c", code, str(tmp_path), json.dumps(tasks)]
    driver = subprocess.Popen(command, start_new_session=True, cwd=tmp_path, stderr=subprocess.PIPE)
    begun: Callable[[], list[tuple[str, int]]] = lambda: trainings.marks(tmp_path / "marks")  # noqa: E731
    eventually(lambda: len([name for name, _ in begun() if name == "t0"]) == 2)  # in the dead worker's successor
    os.killpg(driver.pid, signal.SIGINT)
    eventually((tmp_path / "interrupted").exists)
    eventually(lambda: any(each["result"] == {"name": "t0"} for each in lines(tmp_path)))
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    errors = driver.communicate(timeout=PATIENCE)[1]
    assert b"Traceback" not in errors
    assert b"distributed" not in errors  # Dask's log tells of workers that die
    eventually(lambda: not any(process.is_running() for process in family))

    finished = {each["configuration"]["name"] for each in lines(tmp_path)}
    cut = begun()
    assert "t0" in finished
    assert "t1" not in finished
    (tmp_path / "go").touch()
    rows = run(trainings.sleep, [Task(task) for task in tasks], tmp_path, workers=2)
    assert [row.result for row in rows] == [{"name": task["name"]} for task in tasks]
    assert len(lines(tmp_path)) == len(tasks)
    assert finished.isdisjoint(name for name, _ in set(begun()) - set(cut))
    assert [name for name, _ in cut].count("t0") == 2
    assert all([name for name, _ in cut].count(task["name"]) <= 1 for task in tasks[1:])


def test_exception_leaves_whole_rows_and_no_worker(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import trainings

    tasks = sleepers(tmp_path, 3, 0.0)
    tasks[2]["seconds"] = 2 * PATIENCE
    workers: set[int] = set()

    def watch(progress: StudyProgress) -> None:
        workers.update(pid for _, pid in trainings.marks(tmp_path / "marks"))
        if len(trainings.marks(tmp_path / "marks")) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(trainings.sleep, [Task(task) for task in tasks], tmp_path, workers=1, watch=watch)
    assert not any(psutil.pid_exists(pid) for pid in workers)
    assert [each["configuration"] for each in lines(tmp_path)] == tasks[:2]
    assert capfd.readouterr() == ("", "")


def test_local_cluster_answers_only_who_has_its_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another client, with no certificate or its own, gets nothing from scheduler, worker or nanny; no file is left."""
    import dask
    from distributed import Client, Security
    from distributed.core import connect

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def identity(address: str, arguments: dict[str, Any]) -> object:
        connection = await connect(address, timeout=1.0, **arguments)
        await connection.write({"op": "identity", "reply": True})
        return await connection.read()

    with dask.config.set({"distributed.comm.timeouts.connect": 1.0}), cluster.cluster(1, None, 1) as client:
        ((worker, details),) = client.scheduler_info()["workers"].items()
        assert client.submit(os.getpid).result() != os.getpid()
        for address in (client.scheduler.address, worker, details["nanny"]):
            assert address.startswith("tls://127.0.0.1:")
            assert asyncio.run(identity(address, client.security.get_connection_args("client")))
            for other, arguments in (
                (address.replace("tls://", "tcp://"), {}),
                (address, Security.temporary().get_connection_args("client")),
            ):
                with pytest.raises(OSError, match=r"TLS|closed|timed out"):
                    asyncio.run(identity(other, arguments))
        with pytest.raises(TypeError, match="ssl_context"):  # Dask opens no tls:// without a certificate
            Client(client.scheduler.address, timeout=1.0, set_as_default=False)
        (private,) = tmp_path.glob("pdekan-*")
        assert private.stat().st_mode & 0o077 == 0
        assert details["local_directory"].startswith(str(private))
        assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not list(tmp_path.iterdir())
