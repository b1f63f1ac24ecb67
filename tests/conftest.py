"""One thread a process, here and in the processes that tests start: tests run side by side, and arrays are small."""

from __future__ import annotations

import os
from typing import Any

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported, hence before it


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are empty files, where it matters only that there are some: to draw them takes most of the time."""
    from matplotlib.figure import Figure

    drawn = Figure.savefig

    def savefig(figure: Figure, *arguments: Any, **options: Any) -> None:
        if options.get("format") != "png":
            drawn(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
