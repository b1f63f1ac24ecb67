"""Solve the same problems with pdekan and with other packages, in one run on one machine, and write the comparison.

    python tests/benchmarks/peers.py [--seconds 60] [--problems NAME …] [--peers NAME …] [--report]

Every peer has its own virtual environment in build/peers, made on first use, and is a process with one thread. A full run
writes tests/benchmarks/peers.json and peers.md, the table of docs/benchmarks.md and outputs/figures/peers.png; one of some
problems or peers writes the same files to build/peers, so that no table mixes runs. --report makes table and figure of the
last ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import origin
import peers_report

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "peer"
ENVIRONMENTS = ROOT / "build" / "peers"
RESULTS = Path(__file__).parent / "peers.json"

PROBLEMS = ("poisson_kan_paper", "poisson_sine", "helmholtz", "variable_coefficient", "convection_diffusion")
SPARE = 600.0  # seconds beyond the budget that a process may take to import, to compile and to measure errors
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
ONE_THREAD |= {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu"}


@dataclass(frozen=True)
class Peer:
    """One row of the comparison: a script, run in an environment."""

    name: str
    environment: str
    script: str
    arguments: tuple[str, ...] = ()


PEERS = (
    Peer("pdekan", "pdekan", "train_pdekan.py"),
    Peer("gauss-newton-mlp", "pdekan", "train_pdekan.py", ("--mlp",)),
    Peer("pykan", "pykan", "train_pykan.py"),
    Peer("jaxkan", "jaxkan", "train_jaxkan.py"),
    Peer("deepxde", "deepxde", "train_deepxde.py"),
    Peer("skfem-p2", "skfem", "solve_skfem.py", ("--degree", "2")),
    Peer("skfem-p4", "skfem", "solve_skfem.py", ("--degree", "4")),
    Peer("chebyshev", "chebyshev", "solve_chebyshev.py"),
)


@dataclass(frozen=True)
class Run:
    """A peer on a problem. reason: why it failed or was stopped, or empty; observations until then are kept."""

    problem: str
    peer: str
    reason: str
    versions: dict[str, str]
    observations: list[dict[str, float]]


def last_line(text: str) -> str:
    """The last line of a failed process, which for Python is the error."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def python_of(environment: str) -> Path:
    """The interpreter of an environment, created if missing. Raises RuntimeError where that fails."""
    directory, wanted = ENVIRONMENTS / environment, HERE / "requirements" / f"{environment}.txt"
    python = directory / ("Scripts" if os.name == "nt" else "bin") / "python"
    made = directory / "made-from.txt"
    if made.exists() and made.read_text("utf-8") == wanted.read_text("utf-8"):
        return python
    say(f"making the environment {environment}\n")
    venv.create(directory, clear=True, with_pip=True)
    # "-e ." in a requirements file is relative to where pip runs
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"its environment could not be made: {last_line(done.stderr)}")
    made.write_text(wanted.read_text("utf-8"), "utf-8")
    return python


def run(peer: Peer, problem: str, seconds: float) -> Run:
    """Run one peer on one problem."""
    try:
        python = python_of(peer.environment)
    except RuntimeError as error:
        return Run(problem, peer.name, str(error), {}, [])
    work = ENVIRONMENTS / "work"  # some packages write to where they run
    work.mkdir(parents=True, exist_ok=True)
    command = [python, HERE / peer.script, problem, "--seconds", str(seconds), *peer.arguments]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")} | ONE_THREAD
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=work, env=environment, **pipes) as process:
        try:
            out, err = process.communicate(timeout=seconds + SPARE)
            reason = last_line(err) if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            reason = f"stopped after {seconds + SPARE:.0f} s"
    if process.returncode and process.returncode < 0 and not reason.startswith("stopped"):
        reason = f"killed by signal {-process.returncode}"
    return parsed(peer, problem, out, reason)


def parsed(peer: Peer, problem: str, out: str, reason: str) -> Run:
    """The output of a process: versions first, then observations up to an incomplete line."""
    versions: dict[str, str] = {}
    observations = []
    for line in out.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if "versions" in row:
            versions = row["versions"]
        else:
            observations.append(row)
    return Run(problem, peer.name, reason or ("" if observations else "it reported nothing"), versions, observations)


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def benchmark(problems: list[str], names: list[str], seconds: float) -> dict[str, Any]:
    """Every peer on every problem, one after the other."""
    made = origin.made() | {"seconds": seconds}
    runs = []
    for problem in problems:
        for peer in (peer for peer in PEERS if peer.name in names):
            runs.append(run(peer, problem, seconds))
            say(peers_report.line(asdict(runs[-1])))
    return {"made": made, "runs": [asdict(run) for run in runs]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of each peer that trains, for each problem")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="+", choices=names, default=names)
    parser.add_argument("--report", action="store_true", help="only make table and figure anew")
    arguments = parser.parse_args()
    if arguments.report:
        peers_report.publish(json.loads(RESULTS.read_text("utf-8")))
        return
    results = benchmark(arguments.problems, arguments.peers, arguments.seconds)
    text = json.dumps(results, indent=1) + "\n"
    if set(arguments.problems) == set(PROBLEMS) and set(arguments.peers) == set(names):
        RESULTS.write_text(text, "utf-8")
        peers_report.publish(results)
    else:
        (ENVIRONMENTS / "peers.json").write_text(text, "utf-8")
        peers_report.write(results, ENVIRONMENTS / "peers.md", ENVIRONMENTS / "peers.png")
        say(f"not all problems and peers: written to {ENVIRONMENTS.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
