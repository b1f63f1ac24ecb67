"""A file that is replaced is the old one or the new one, whatever happens in between."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pdekan.output.atomic import replacing, write_text

DIES_WHILE_WRITING = """
import os, signal, sys
from pdekan.output.atomic import replacing

with replacing(sys.argv[1]) as temporary:
    with open(temporary, "w") as file:
        file.write("half of the new conte")
        file.flush()
        os.fsync(file.fileno())
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_text_is_written_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_text(path, "old")
    write_text(path, "Größe\r\nline\n")
    assert path.read_bytes() == "Größe\r\nline\n".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be handled")
def test_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "solution.txt"
    path.write_text("old")
    root = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", DIES_WHILE_WRITING, str(path)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    left = [other.read_text() for other in tmp_path.iterdir() if other != path]
    assert left == ["half of the new conte"]  # it was killed in the middle, and beside the file


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt])
def test_exception_leaves_the_old_file_alone(tmp_path: Path, exception: type[BaseException]) -> None:
    path = tmp_path / "solution.txt"
    path.write_text("old")

    def fail_in_the_middle() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise exception

    with pytest.raises(exception):
        fail_in_the_middle()
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
