"""Which files a problem file may have read, and that nothing of other files is quoted."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest
from commands import command

import pdekan
from pdekan.domains.mesh_file import mesh
from pdekan.problem_files import folder
from pdekan.problem_files.folder import Folder
from pdekan.problems.formulas import ProblemError
from pdekan.solutions.solution import load_solution

TEXT = """schema = 1
name = "fit"

[domain]
type = "box"
x = [0.0, 1.0]

[[data]]
file = "{file}"
"""
MESHED = """schema = 1
name = "meshed"

[domain]
type = "mesh"
file = "{file}"

[equation]
operator = "laplacian(u)"

[[conditions]]
type = "dirichlet"
on = "boundary"
value = 0
"""
OUTSIDE = "outside of the problem file's directory"
POINTS, TRIANGLES = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]])


def problem(path: Path, name: str, text: str = TEXT) -> Path:
    path.write_text(text.format(file=name), "utf-8")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of a problem file, beside a file that is not its."""
    (tmp_path / "secret.csv").write_text("root:x:0:0,password\n0,hunter2\n", "utf-8")
    (tmp_path / "good.csv").write_text("x,u\n0,1\n0.5,2\n", "utf-8")
    (tmp_path / "home" / "data").mkdir(parents=True)
    return tmp_path / "home"


@pytest.mark.parametrize("name", ["../good.csv", "data/../../good.csv", "{parent}/good.csv", "link.csv", "data/up/good.csv"])
def test_files_outside_are_read_only_where_that_is_allowed(home: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "link.csv").symlink_to(home.parent / "good.csv")
    (home / "data" / "up").symlink_to(home.parent)
    file = problem(home / "p.toml", name.format(parent=home.parent))
    with pytest.raises(ProblemError, match=rf"p\.toml:9: data\.0\.file: .*{OUTSIDE} .*--allow-outside"):
        pdekan.load_problem(file)
    assert len(pdekan.load_problem(file, allow_outside=True).data[0].points) == 2
    assert command("check", str(file)) == 2
    assert OUTSIDE in capsys.readouterr().err
    assert command("check", str(file), "--allow-outside") == 0


def test_files_below_are_read(home: Path) -> None:
    """By relative and by absolute paths, through links that stay inside."""
    inside = home / "data" / "good.csv"
    (home.parent / "good.csv").rename(inside)
    (home / "link.csv").symlink_to(inside)
    for name in ("data/good.csv", "data/../data/good.csv", str(inside), "link.csv"):
        assert len(pdekan.load_problem(problem(home / "p.toml", name)).data[0].points) == 2


def test_a_directory_beside_whose_name_begins_alike_is_outside(home: Path) -> None:
    (home.parent / "home2").mkdir()
    (home.parent / "good.csv").rename(home.parent / "home2" / "good.csv")
    with pytest.raises(ProblemError, match=OUTSIDE):
        Folder(home).file("../home2/good.csv")


@pytest.mark.parametrize("allow", [False, True])
def test_what_is_no_file_is_not_opened(home: Path, allow: bool) -> None:
    """A pipe without a writer and /dev/zero would never return."""
    os.mkfifo(home / "pipe.csv")
    (home / "zero.csv").symlink_to("/dev/zero")
    (home / "loop.csv").symlink_to("loop.csv")
    here = os.open(home, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/socket.csv")  # a socket's own path is too short for this directory's
    os.close(here)
    kinds = {
        "pipe.csv": "is a pipe",
        "socket.csv": "is a socket",
        "data": "is a directory",
        "no.csv": "cannot be read: No such file",
    }
    kinds |= {
        "zero.csv": "is a device" if allow else OUTSIDE,
        "loop.csv": "cannot be read|too many|Too many",
        "a" * 300: "too long",
    }
    for name, message in kinds.items():
        with pytest.raises(ProblemError, match=message):
            pdekan.load_problem(problem(home / "p.toml", name), allow_outside=allow)
    with pytest.raises(ProblemError, match="cannot be read"):
        Folder(home).file("a\0b")


def test_the_size_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "large.csv").write_text("x,u\n" + "0,1\n" * 100)
    monkeypatch.setattr(folder, "MAX_BYTES", 100)
    with pytest.raises(ProblemError, match="404 bytes; at most 100 are read"):
        pdekan.load_problem(problem(home / "p.toml", "large.csv"))


def test_no_line_of_another_file_is_quoted(home: Path) -> None:
    """Not where the file may be read either."""
    for text in ("root:x:0:0,password\n0,hunter2\n", "x,u\n0,hunter2\n", "hunter2 and more\n", "hunter2\nhunter2\n"):
        (home.parent / "secret.csv").write_text(text, "utf-8")
        for name in ("secret.csv", "secret.msh", "secret.vtk", "secret.xdmf"):
            (home.parent / name).write_text(text, "utf-8")
            given = problem(home / "p.toml", f"../{name}", TEXT if name.endswith("csv") else MESHED)
            for allow in (False, True):
                with pytest.raises(ProblemError) as caught:
                    pdekan.load_problem(given, allow_outside=allow)
                assert "hunter2" not in str(caught.value) or text.startswith("hunter2\n"), str(caught.value)
                assert "root:" not in str(caught.value)


def test_references_are_held_to_the_same_rule(home: Path) -> None:
    with h5py.File(home.parent / "grid.h5", "w") as file:
        file["x"], file["u"] = [0.0, 0.5, 1.0], [0.0, 0.5, 1.0]
    text = (
        'schema = 1\nname = "r"\n[domain]\ntype = "box"\nx = [0.0, 1.0]\n[equation]\noperator = "dx(dx(u))"\n'
        '[[conditions]]\ntype = "dirichlet"\non = "boundary"\nvalue = 0\n[exact]\nreference = "{file}"\n'
    )
    file = problem(home / "p.toml", "../grid.h5", text)
    with pytest.raises(ProblemError, match=rf"exact\.reference: .*{OUTSIDE}"):
        pdekan.load_problem(file)
    assert pdekan.load_problem(file, allow_outside=True).exact_reference == str(home / "../grid.h5")


@pytest.mark.parametrize("form", ["HDF", "Binary"])
def test_data_of_xdmf_are_held_to_the_same_rule(home: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    meshio.xdmf.write("m.xdmf", meshio.Mesh(POINTS, {"triangle": TRIANGLES}), data_format=form)
    file = problem(home / "p.toml", "m.xdmf", MESHED)
    assert pdekan.load_problem(file).domain.measure == 1.0
    for data in ("m.h5", "m0.bin", "m1.bin"):
        if (home / data).exists():
            (home / data).rename(home.parent / data)
    text = (home / "m.xdmf").read_text()
    (home / "m.xdmf").write_text(text.replace("m.h5", "../m.h5").replace("m0", "../m0").replace("m1", "../m1"))
    with pytest.raises(ProblemError, match=rf"\.\./m.*{OUTSIDE}"):
        pdekan.load_problem(file)
    assert pdekan.load_problem(file, allow_outside=True).domain.measure == 1.0


def test_other_meshes_in_several_files_too(home: Path) -> None:
    outside = home.parent / "outside.node"
    outside.write_text("1 3 0 0\n0 0 0 0\n")
    (home / "m.ele").write_text("0 4 0\n")
    (home / "m.node").symlink_to(outside)
    (home / "m.inp").write_text(f"*NODE\n1, 0, 0, 0\n*INCLUDE, INPUT={outside}\n")
    (home / "self.inp").write_text("*INCLUDE, INPUT=self.inp\n")
    for name, message in (("m.ele", OUTSIDE), ("m.inp", OUTSIDE), ("self.inp", "not a mesh that meshio reads")):
        with pytest.raises(ProblemError, match=message):
            pdekan.load_problem(problem(home / "p.toml", name, MESHED))
    (home / "m.xml").write_text("<dolfin/>")
    with pytest.raises(ProblemError, match="DOLFIN's XML is not read; convert it"):
        pdekan.load_problem(problem(home / "p.toml", "m.xml", MESHED))


@pytest.mark.parametrize("how", ["link", "external", "virtual"])
def test_hdf5_files_that_take_data_from_others_are_refused(home: Path, how: str) -> None:
    with h5py.File(home.parent / "other.h5", "w") as file:
        file["u"] = [1.0, 2.0]
    np.array([1.0, 2.0]).tofile(home.parent / "other.bin")
    with h5py.File(home / "m.h5", "w") as file:
        file["x"] = [0.0, 1.0]
        if how == "link":
            file["u"] = h5py.ExternalLink(str(home.parent / "other.h5"), "u")
        elif how == "external":
            file.create_dataset("u", (2,), float, external=str(home.parent / "other.bin"))
        else:
            layout = h5py.VirtualLayout((2,), float)
            layout[:] = h5py.VirtualSource(home.parent / "other.h5", "u", (2,))
            file.create_virtual_dataset("u", layout)
    with pytest.raises(ProblemError, match=r"(link into|are in) another file.*; copy"):
        pdekan.load_problem(problem(home / "p.toml", "m.h5"), allow_outside=True)


def test_measurements_and_runs_outlive_the_files_that_they_were_read_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "data" / "good.csv").write_text("x,u\n" + "".join(f"{k / 40},{k / 20}\n" for k in range(41)))
    file = problem(home / "p.toml", "../home/data/good.csv")
    options = ["--set", "training.steps=2", "--set", "network.hidden=[2]", "--output", str(home / "run"), "--json"]
    assert command("solve", str(file), *options) in (0, 3)
    monkeypatch.chdir(home.parent)
    (home / "data" / "good.csv").rename(home.parent / "moved.csv")
    assert len(load_solution(home / "run" / "solution.vtkhdf").problem.data[0].points) == 41  # type: ignore[union-attr]
    (home.parent / "moved.csv").rename(home / "data" / "good.csv")
    assert command("solve", str(file), *options, "--resume", "--set", "training.seconds=100") in (0, 3)


def test_meshes_in_python_may_be_anywhere(home: Path) -> None:
    meshio.write(home.parent / "m.vtk", meshio.Mesh(POINTS, {"triangle": TRIANGLES}))
    assert mesh(home.parent / "m.vtk").measure == 1.0
