"""Full disks, directories that cannot be written to, readers that leave early: messages say what is wrong, nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import TINY, command, started

from pdekan.output import hdf5
from pdekan.solutions.solution import load_solution
from pdekan.training import solver

PROBLEM = TINY.partition("[exact]")[0]
SOLVE = ("solve", "tiny.toml", "--output", "out", "--tolerance", "0.01")
NOTHING_FITS, NETWORK_FITS = 2_000, 70_000  # bytes; a run's file has 112 000, with few samples 35 000
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_figures: None) -> Path:
    """An own current directory, with a problem in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(PROBLEM)
    return tmp_path


@pytest.fixture
def mounted(workplace: Path) -> Iterator[Path]:
    """A file system of 200 000 bytes."""
    path = workplace / "mounted"
    path.mkdir()
    mount(["-t", "tmpfs", "-o", "size=200k", "none"], path)
    yield path
    subprocess.run(["umount", path], check=True)


def mount(arguments: list[str], path: Path) -> None:
    done = subprocess.run(["mount", *arguments, path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("file systems cannot be mounted here")


def limited(size: int, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command whose files may have so many bytes."""
    with started(*arguments, before=LIMITED.format(size)) as process:
        _, err = process.communicate()
    assert "Traceback" not in err
    return process.returncode, err


def test_where_nothing_fits_nothing_is_left(workplace: Path) -> None:
    code, err = limited(NOTHING_FITS, *SOLVE)
    assert code == 2
    assert "out/solution.vtkhdf: file too large; no file may be so large here, see `ulimit -f`" in err
    assert os.listdir(workplace) == ["tiny.toml"]


def test_where_the_network_fits_it_is_kept_and_the_rest_follows(workplace: Path) -> None:
    code, err = limited(NETWORK_FITS, *SOLVE)
    assert code == 2
    assert "--resume writes the rest" in err
    assert os.listdir("out") == ["solution.vtkhdf"]
    kept = load_solution("out/solution.vtkhdf")
    assert command(*SOLVE, "--resume") == 0
    assert load_solution("out/solution.vtkhdf")([[0.3]]) == kept([[0.3]])
    assert (workplace / "out" / "solution.png").exists()


@pytest.mark.parametrize("size", [NOTHING_FITS, NETWORK_FITS])
def test_a_forced_run_that_does_not_fit_leaves_one_of_both(size: int) -> None:
    assert command(*SOLVE, "--seed", "1") == 0
    assert limited(size, *SOLVE, "--force")[0] == 2
    left = load_solution("out/solution.vtkhdf")
    assert left.seed == (1 if size == NOTHING_FITS else 0)
    assert os.listdir("out") == ["solution.vtkhdf"]


def test_training_goes_on_where_no_checkpoint_can_be_written(workplace: Path) -> None:
    every = "from pdekan.runs import directory; import functools\n"
    every += "directory.Checkpoints = functools.partial(directory.Checkpoints, seconds=0.0)\n"
    with started(*SOLVE, before=every + LIMITED.format(NOTHING_FITS)) as process:
        _, err = process.communicate()
    assert "no checkpoint is written: [Errno 27]" in err
    assert "out/solution.vtkhdf: file too large; no file may be so large here, see `ulimit -f`" in err


def test_a_full_file_system(mounted: Path) -> None:
    (mounted / "large").write_bytes(bytes(140_000))
    arguments = (*SOLVE[:2], "--output", str(mounted / "out"), *SOLVE[4:])
    with started(*arguments) as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert "No space left on device" in err
    assert os.listdir(mounted / "out") == ["solution.vtkhdf"]
    (mounted / "large").unlink()
    subprocess.run(["mount", "-o", "remount,size=10m", mounted], check=True)
    assert command(*arguments, "--resume") == 0


@pytest.mark.parametrize("more", [("--force",), ("--resume", "--tolerance", "1e-9")])
def test_a_directory_that_cannot_be_written_to_is_noticed_before_training(
    more: tuple[str, ...], mounted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["mount", "-o", "remount,size=10m", mounted], check=True)
    arguments = (*SOLVE[:2], "--output", str(mounted / "out"), *SOLVE[4:])
    assert command(*arguments) == 0
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    monkeypatch.setattr(solver, "solve", lambda *_, **__: pytest.fail("it was trained"))
    assert command(*arguments, *more) == 2
    err = capsys.readouterr().err
    assert "out: nothing can be written there (Read-only file system)" in err
    assert "Traceback" not in err


def test_a_reader_that_leaves_early_costs_nothing(workplace: Path) -> None:
    line = f"{sys.executable} -m pdekan.cli {' '.join(SOLVE)} --no-figures --json 2>err | true"
    subprocess.run(line, shell=True, check=True)
    assert (workplace / "out" / "summary.json").exists()
    assert "Error" not in (workplace / "err").read_text()


def test_an_hdf5_file_that_is_interrupted_leaves_the_old_one(workplace: Path) -> None:
    path = workplace / "file.h5"

    def fill(interrupt: bool) -> None:
        with hdf5.written(path) as file:
            file["x"] = range(1000)
            if interrupt:
                raise KeyboardInterrupt

    fill(interrupt=False)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        fill(interrupt=True)
    assert path.read_bytes() == before
    assert sorted(os.listdir(workplace)) == ["file.h5", "tiny.toml"]


def test_where_the_reader_of_stderr_is_gone_the_run_is_written_all_the_same(workplace: Path) -> None:
    """As behind `2>&1 | head -1`; rich would end the program."""
    reader, writer = os.pipe()
    program = "import sys\nfrom pdekan.cli import main\nsys.exit(main(sys.argv[1:]))"
    typed = [sys.executable, "-c", program, "solve", "tiny.toml", "--output", "out", "--no-figures", "--no-estimate"]
    with subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=writer, text=True) as process:
        os.close(writer)
        os.close(reader)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("status ")
    assert (workplace / "out" / "summary.json").exists()


@pytest.mark.parametrize("typed", [["check", "tiny.toml"], ["schema"], ["solve", "tiny.toml", "--no-figures", "--no-estimate"]])
def test_where_the_reader_of_stdout_is_gone_nothing_is_said(typed: list[str], workplace: Path) -> None:
    """As behind `| head -1`: neither a traceback nor an exit code of its own."""
    reader, writer = os.pipe()
    os.close(reader)
    program = "import sys\nfrom pdekan.cli import main\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *typed], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writer)
    assert done.returncode == 0
    assert "Error" not in done.stderr
    assert "Exception" not in done.stderr
