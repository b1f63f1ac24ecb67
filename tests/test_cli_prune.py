"""`pdekan prune` and `pdekan plot`, end to end: exit codes, what is printed, and what is on the disk afterwards."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from pdekan import cli
from pdekan.networks.kan import KAN
from pdekan.pruning.prune import Pruned, prune
from pdekan.solutions.solution import load_solution

TINY = """\
schema = 1
name = "tiny"

[domain]
type = "box"
x = [0.0, 1.0]
y = [0.0, 1.0]

[equation]
operator = "-laplacian(u) + u**2"
source = "manufactured"

[[conditions]]
type = "dirichlet"
value = "exact"

[exact]
u = "exp(x)"

[network]
hidden = [2]
degree = [2, 6]
intervals = [1, 4]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tests look at but do not change."""
    folder = tmp_path_factory.mktemp("solved")
    (folder / "tiny.toml").write_text(TINY)
    assert (
        cli.main(["solve", str(folder / "tiny.toml"), "--output", str(folder / "run"), "--tolerance", "1e-5", "--no-figures"])
        == 0
    )
    return folder / "run"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def found() -> list[Pruned]:
    """What the pruning of `pruned` has found."""
    return []


@pytest.fixture(scope="module")
def pruned(run: Path, found: list[Pruned], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, pruned; what was printed is beside it."""
    directory = tmp_path_factory.mktemp("pruned") / "run"

    def kept(*arguments: Any, **options: Any) -> Pruned:
        found.append(prune(*arguments, **options))
        return found[0]

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr("pdekan.pruning.prune.prune", kept)
        assert cli.main(["prune", str(run), "--tolerance", "1e-4", "--json", "--output", str(directory)]) == 0
    (directory.parent / "printed").write_text(out.getvalue())
    return directory


def test_a_pruned_run_is_a_run_like_any(run: Path, pruned: Path) -> None:
    before, after = load_solution(run / "solution.vtkhdf"), load_solution(pruned / "solution.vtkhdf")
    assert isinstance(after.network, KAN)
    assert after.network.pruned[0] == ((1, 0),)  # u does not depend on y
    assert after.parameters < before.parameters
    summary: dict[str, Any] = json.loads((pruned / "summary.json").read_text())
    assert summary["network"]["pruned"] == [[[1, 0]], []]
    assert summary["parameters"] == after.parameters == 3 + 10
    assert summary["parameters_paper"] == 1 + 4
    assert set(summary["files"]) >= {"solution", "history", "problem", "summary", "figure_solution", "figure_network"}
    assert all(Path(path).is_file() for path in summary["files"].values())


@pytest.mark.usefixtures("blank_figures", "pruned")
def test_what_is_printed(
    run: Path, found: list[Pruned], workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdekan.pruning.prune.prune", lambda *_, **__: found[0])
    assert cli.main(["prune", str(run), "--tolerance", "1e-4"]) == 0
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    rows = {line.split("  ")[0].strip(): line.split()[-2:] for line in out.splitlines()}
    assert rows["parameters"] == ["32", "13"]
    assert rows["edges"] == ["6", "2"]
    assert "[2, 2, 1]" in out
    assert "[2, 1, 1]" in out
    assert (workplace / "outputs" / "tiny" / "001" / "solution.vtkhdf").is_file()  # a fresh one
    assert f"run {Path('outputs/tiny/001')}" in out


def test_json_is_one_object(run: Path, pruned: Path) -> None:
    printed = json.loads((pruned.parent / "printed").read_text())
    assert printed["pruning"]["before"]["parameters"] == load_solution(run / "solution.vtkhdf").parameters == 32
    assert printed["parameters"] == 13
    assert printed["pruning"]["steps"][-1]["edges"] == 2
    assert printed["pruning"]["largest_residual_allowed"] == 1e-4
    assert printed["run"] == str(pruned)


def test_what_cannot_be_done_is_said_and_leaves_nothing(
    run: Path, pruned: Path, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["prune", "nowhere"]) == 2
    assert "no run here" in capsys.readouterr().err
    assert cli.main(["prune", str(run), "--output", str(pruned)]) == 2  # which is not empty
    assert "not empty" in capsys.readouterr().err
    assert cli.main(["prune", str(run), "--factor", "0.1"]) == 2
    assert "factor 0.1: how much the residual may grow is at least 1" in capsys.readouterr().err
    (workplace / "tiny.toml").write_text(TINY)
    mlp = ["--set", 'network={kind = "mlp", hidden = [2]}', "--set", "training.steps=1"]
    cli.main(["solve", "tiny.toml", "--output", "mlp", "--no-figures", "--no-estimate", *mlp])
    capsys.readouterr()
    assert cli.main(["prune", "mlp"]) == 2
    assert "MLP; what can be pruned is a KAN" in capsys.readouterr().err
    assert not (workplace / "outputs").exists()


def test_plot_draws_the_network(pruned: Path, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plot", str(pruned), "--to", "pictures", "--format", "svg"]) == 0
    assert (workplace / "pictures" / "network.svg").is_file()
    assert "network.svg" in capsys.readouterr().out
