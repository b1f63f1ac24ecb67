"""A file that is replaced is the old one or the new one, whatever happens in between."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pdekan.output import atomic
from pdekan.output.atomic import write_bytes, write_text

DIES_WHILE_WRITING = """
import os, signal, sys
from pdekan.output.atomic import write_text

os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
write_text(sys.argv[1], "new")
"""


def test_text_is_written_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")
    write_text(path, "Größe\r\nline\n")
    assert path.read_bytes() == "Größe\r\nline\n".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be handled")
def test_kill_leaves_the_old_file_and_the_next_write_removes_what_else_it_left(tmp_path: Path) -> None:
    path = tmp_path / "solution.txt"
    path.write_text("old")
    root = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", DIES_WHILE_WRITING, str(path)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    left = [other.read_text() for other in tmp_path.iterdir() if other != path]
    assert left == ["new"]  # it was killed in the middle, and beside the file
    write_text(path, "newer")
    assert list(tmp_path.iterdir()) == [path]


def test_what_another_process_writes_is_no_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def in_between(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        write_text(tmp_path / "other", "its")  # looks for orphans
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", in_between)
    write_text(tmp_path / "ours", "ours")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"ours": "ours", "other": "its"}


def test_a_file_that_was_taken_for_an_orphan_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, removed = fcntl.flock, []

    def too_late(descriptor: int, how: int) -> None:
        if not removed and how == fcntl.LOCK_EX:
            removed.append(descriptor)
            atomic.remove_orphans(tmp_path)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    write_text(tmp_path / "ours", "ours")
    assert removed
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: type[BaseException]
) -> None:
    path = tmp_path / "solution.txt"
    path.write_text("old")

    def fail(_: int) -> None:
        raise exception

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(exception):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "file.txt"
    with pytest.raises(FileNotFoundError) as caught:
        write_text(missing, "text")
    assert caught.value.filename == os.fspath(missing)
    with pytest.raises(OSError, match="directory") as caught_directory:
        write_text(tmp_path, "text")
    assert caught_directory.value.filename == os.fspath(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not list(tmp_path.parent.glob(".pdekan-*"))
