"""Completion in shells, and suggestions for words that are misspelt."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from commands import TINY, command


def completed(script: str, *words: str) -> set[str]:
    """What bash offers for the last word."""
    given = " ".join(f"'{word}'" for word in words)
    program = f"{script}\nCOMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _pdekan; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    import contextlib
    import io

    found = {}
    for shell in ("bash", "zsh", "fish"):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert command("completion", shell) == 0
        found[shell] = out.getvalue()
    return found


def test_bash_completes_commands_options_and_problems(scripts: dict[str, str]) -> None:
    script = scripts["bash"]
    assert completed(script, "pdekan", "s") == {"solve", "scaling", "study", "show", "schema"}
    assert completed(script, "pdekan", "solve", "--res") == {"--resume"}
    assert completed(script, "pdekan", "solve", "--seed", "3", "poisson_s") == {"poisson_sine"}
    assert "nist" in completed(script, "pdekan", "bench", "n")
    assert completed(script, "pdekan", "completion", "f") == {"fish"}
    assert completed(script, "pdekan", "plot", "no_such") == set()  # files are completed by bash


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_of_their_shell(shell: str, scripts: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        assert "complete -c pdekan" in scripts[shell] if shell == "fish" else "bashcompinit" in scripts[shell]
        return
    (tmp_path / "script").write_text(scripts[shell], "utf-8")
    subprocess.run([shell, "-n", tmp_path / "script"], check=True, timeout=60)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["slove", "poisson_sine"], "solve"),
        (["solve", "poisson_sine", "--tolerence", "1e-3"], "--tolerance"),
        (["solve", "poisson_sine", "--divice=cpu"], "--device"),
        (["solve", "poisson_sine", "--device", "cuba"], "cuda"),
        (["completion", "bsh"], "bash"),
    ],
)
def test_what_is_misspelt_is_suggested(typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*typed) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_an_option_of_other_commands_is_said_to_be_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("solve", "poisson_sine", "--seconds", "3") == 2
    said = capsys.readouterr().err
    assert "--seconds is an option of scaling, bench, prune, formula; --set replaces any value of a file" in said
    assert "did you mean" not in said


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "COMMAND; `pdekan --help` says what is allowed"),
        ("my.toml", "did you mean: pdekan solve my.toml"),
        ("--json solve my.toml", "--json stands after the command, as in: pdekan solve FILE --json"),
        ("solve my", "did you mean my.toml?"),
        ("solve folder", "it is a folder; name a file in it; `pdekan bench` solves all in a folder"),
        ("solve run", "did you mean run/problem.toml?"),
        ("solve my.toml training.steps=3", "values of the file are replaced by: --set training.steps=3"),
        ("solve my.toml --tolerance tight", "'tight' is no number; write one without a unit, as 0.5 or 1e-6"),
        ("solve my.toml --memory 2GB", "'2GB' is no number; write one without a unit"),
        ("solve my.toml --seed 1.5", "'1.5' is no whole number"),
        ("solve my.toml --set tolerance=1e-3", "it belongs to the table training: training.tolerance"),
        ("solve my.toml --set conditions.value=1", "conditions is a list: conditions.0 is its first entry"),
        ("solve my.toml --output my.toml/run", "my.toml/run: not a directory; a part of the path is a file"),
        ("solve my.toml --output /proc/none/run", ": no such file or directory; look at the names of the folders"),
        ("plot my.toml", "a problem file is no run; `pdekan solve my.toml` makes one of it"),
        ("scaling my.toml --hidden 5;7", "write networks joined by commas, the layers of one joined by x, as 5,10x10"),
        ("study mlp-kan", "no study 'mlp-kan'; did you mean mlp-or-kan?"),
        ("new x --unknowns pi", "'pi' is the name of a constant already; choose another"),
    ],
)
def test_what_is_typed_by_mistake_is_answered_by_what_to_type(
    typed: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text(TINY)
    for folder in ("folder", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "run" / "problem.toml").write_text(TINY)
    before = sorted(tmp_path.rglob("*"))
    assert command(*typed.split()) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_with_other_parameters_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(TINY)
    plain = ("solve", "tiny.toml", "--output", "run", "--no-figures", "--no-estimate", "--set", "training.steps=1")
    assert command(*plain, "--set", "parameters={k={initial=1.0,trainable=true}}") in (0, 3)
    assert command(*plain[:4], "--resume") == 2
    assert "the run to resume was made with other trainable parameters; start a new one" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["new heat", "new heat.toml", "new heat --unknowns T"])
def test_a_new_file_can_be_solved_as_it_is(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*typed.split()) == 0
    assert command("check", "heat.toml") == 0


def test_nothing_is_suggested_for_what_is_unlike_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("qqqqqqqq") == 2
    assert "did you mean" not in capsys.readouterr().err
