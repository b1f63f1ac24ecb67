"""Table and figure of the comparison with peers, from the results of peers.py."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import origin
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
TABLE = Path(__file__).parent / "peers.md"
FIGURE = ROOT / "outputs" / "figures" / "peers.png"

# in the table, and in the figure's legend
LABELS = {
    "pdekan": ("**pdekan**, its defaults", "pdekan"),
    "gauss-newton-mlp": ("tanh MLP [2,64,1], Gauss-Newton (pdekan)", "tanh MLP, Gauss-Newton"),
    "pykan": ("pykan [2,10,1], cubic, L-BFGS", "pykan"),
    "jaxkan": ("jaxKAN [2,10,1], Chebyshev, Adam + L-BFGS", "jaxKAN"),
    "deepxde": ("DeepXDE, tanh 50×3, Adam + L-BFGS", "DeepXDE"),
    "skfem-p2": ("scikit-fem P2", "scikit-fem P2"),
    "skfem-p4": ("scikit-fem P4", "scikit-fem P4"),
    "chebyshev": ("Chebyshev collocation", "Chebyshev collocation"),
}
DIRECT = ("skfem-p2", "skfem-p4", "chebyshev")  # a solve for each size; the others are trained
# colour, marker, line: told apart without the colour as well
STYLES = {
    "pdekan": ("black", "o", "-"),
    "gauss-newton-mlp": ("#d55e00", "s", "-"),
    "pykan": ("#009e73", "^", "--"),
    "jaxkan": ("#0072b2", "v", "--"),
    "deepxde": ("#cc79a7", "D", "--"),
    "skfem-p2": ("#777777", "x", ":"),
    "skfem-p4": ("#777777", "P", ":"),
    "chebyshev": ("#777777", "*", "-."),
}
FONT = 11
HEADER = """| problem | peer | parameters or unknowns | seconds | relative L2 | relative H1 seminorm |
|---|---|---|---|---|---|
"""
NOTES = """\
**Problems** are stated once, in `peer/statements.py`, and tests hold the statements to the problem files. All are linear, in
two dimensions, with Dirichlet data. **Errors** are those of the value and of the gradient, by a Gauss rule of 200 × 200 points
that nobody trained on. **Seconds** are those of one thread, without the start of the process, imports and the measuring of
errors, but with the making of the network and with just-in-time compilation, on which jaxKAN spends its first seconds. Peers
that train have a budget, and the last row is what they have when it is used up, or when they stop by themselves. Those that
solve directly do so anew for each size, and the quickest of three counts. One seed each: another ends elsewhere.

| peer | how it is used |
|---|---|
| pdekan | its defaults, but for the budget; the time it takes to track its own error is counted |
| tanh MLP | our own baseline: pdekan with `network.kind = "mlp"`, `network.hidden = [64]`, starting anew where it stalls |
| pykan | as its example "PDE accuracy": 51² points, its L-BFGS, 5, and after 50 steps or half of the budget 10 intervals |
| jaxKAN | as its tutorial on PDEs: 4096 points, Adam at 1e-3 for 5000 steps or a quarter of the budget, L-BFGS; degree 12 |
| DeepXDE | PyTorch; 2500 and 400 points, Adam at 1e-3 for 15 000 steps or a quarter of the budget, then L-BFGS |
| scikit-fem | triangles, sparse direct solve; 8² to 128² squares for P2, 4² to 64² for P4; mesh and assembly are counted |
| Chebyshev | dense collocation in numpy; 9, 17, 25, 33 points an axis |

All networks see the box mapped to [-1, 1]² and are in float64. In the losses of pykan, jaxKAN and DeepXDE the mean square of
the equation's residual has weight 0.01 against 1 for the boundary, as in the KAN paper; 1 against 1 for
`convection_diffusion`, whose diffusivity is 0.1. pdekan weighs by itself.
"""


def line(run: dict[str, Any], observation: dict[str, float] | None = None) -> str:
    """A row of the table: the last observation, unless another is given, or the reason of a failure."""
    name = f"| {run['problem']} | {LABELS[run['peer']][0]}"
    if observation is None and run["observations"]:
        observation = run["observations"][-1]
    if observation is None:
        return f"{name} | – | – | failed: {cell(run['reason'])} | – |\n"
    if run["reason"]:
        name += f" (failed: {cell(run['reason'])})"
    numbers = f"{observation['l2_relative']:.1e} | {observation['h1_seminorm_relative']:.1e}"
    return f"{name} | {observation['unknowns']} | {observation['seconds']:.2g} | {numbers} |\n"


def cell(text: str) -> str:
    """A text escaped for a cell."""
    return text.replace("|", "/").replace("\n", " ")[:160]


def final_rows(results: dict[str, Any]) -> str:
    return HEADER + "".join(line(run) for run in results["runs"])


def all_rows(results: dict[str, Any]) -> str:
    """All sizes of direct solvers, the last row of trained ones."""
    lines = []
    for run in results["runs"]:
        sizes = run["observations"] if run["peer"] in DIRECT else []
        lines += [line(run, size) for size in sizes] or [line(run)]
    return HEADER + "".join(lines)


def source(results: dict[str, Any]) -> str:
    """Budget, machine, versions and commit, in words."""
    made = results["made"]
    versions: dict[str, str] = {}
    for run in results["runs"]:
        versions |= run["versions"]
    return f"{made['seconds']:g} seconds for each that trains; {origin.words(made, versions)}"


def figure(results: dict[str, Any]) -> Figure:
    """Relative L2 error against seconds, a panel per problem and one for the legend."""
    problems = list(dict.fromkeys(run["problem"] for run in results["runs"]))
    columns = min(3, len(problems) + 1)
    rows = math.ceil((len(problems) + 1) / columns)
    drawn = Figure(figsize=(3.4 * columns, 3.1 * rows), layout="constrained")
    axes: list[Axes] = list(drawn.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for ax, problem in zip(axes, problems, strict=False):
        panel(ax, problem, [run for run in results["runs"] if run["problem"] == problem])
    for k, ax in enumerate(axes[: len(problems)]):
        if k % columns == 0:
            ax.set_ylabel("relative L2 error", fontsize=FONT)
        if k + columns >= len(problems):
            ax.set_xlabel("seconds", fontsize=FONT)
            ax.tick_params(labelbottom=True)
    for ax in axes[len(problems) :]:
        ax.set_axis_off()
    handles = [axes[0].plot([], [], label=label, **style(name))[0] for name, (_, label) in LABELS.items()]
    axes[len(problems)].legend(handles=handles, loc="center left", fontsize=FONT, frameon=False, handlelength=3.2)
    return drawn


def style(name: str) -> dict[str, Any]:
    colour, marker, stroke = STYLES[name]
    strong = name == "pdekan"
    return {
        "color": colour,
        "marker": marker,
        "linestyle": stroke,
        "linewidth": 2.4 if strong else 1.5,
        "markersize": 9 if marker == "*" else 6,
        "zorder": 3 if strong else 2,
    }


def panel(ax: Axes, problem: str, runs: list[dict[str, Any]]) -> None:
    for run in runs:
        points = [(row["seconds"], row["l2_relative"]) for row in run["observations"] if row["l2_relative"] > 0]
        if points:
            every = 1 if run["peer"] in DIRECT else max(1, len(points) // 6)
            # counted from the last observation, so that it has its marker
            ax.plot(*zip(*points[::-1], strict=True), markevery=every, **style(run["peer"]))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_title(problem, fontsize=FONT, family="monospace")
    ax.tick_params(labelsize=FONT - 1)
    ax.grid(color="0.88", linewidth=0.6)


def write(results: dict[str, Any], table: Path, picture: Path) -> None:
    """The table with its notes, and the figure."""
    made = f"Made by `python tests/benchmarks/peers.py` ({source(results)})."
    table.write_text(f"# pdekan and its peers\n\n{made}\n\n{NOTES}\n{all_rows(results)}", "utf-8")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure(results).savefig(picture, dpi=160)


def publish(results: dict[str, Any]) -> None:
    """Table, figure, and the site's table."""
    write(results, TABLE, FIGURE)
    made = f"Made by `python tests/benchmarks/peers.py` ({source(results)})."
    block = f"<!-- peers -->\n{final_rows(results)}\n{made}\n<!-- end peers -->"
    text = PAGE.read_text("utf-8")
    PAGE.write_text(re.sub(r"<!-- peers -->.*<!-- end peers -->", lambda _: block, text, flags=re.S), "utf-8")
