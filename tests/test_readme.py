"""The Python of the README, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pdekan as pk

README = Path(__file__).parents[1] / "README.md"


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    own = [block for block in blocks if "dask" not in block and "cluster" not in block]
    assert len(own) >= 2
    for block in own:
        exec(compile(block, str(README), "exec"), names)
    assert names["solution"].status == "converged"
    assert names["solution"].errors["u"].l2_relative < 1e-6
    assert (tmp_path / "solution.vtkhdf").exists()
    once = pk.solve(names["problem"], strategy=names["Once"](), optimizer=pk.GaussNewton(damping=1.0))
    assert once.network.widths == (2, 8, 1)
    assert set(once.history["stage"]) == {0.0}
