"""The progress of long work: bar and time left stay on narrow terminals; scripts get lines."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

import pdekan as pk
from pdekan.output.progress_bar import ProgressLine, progress_display

DETAIL = "L2 1.0e-03 residual 2.3e-04 stage 12/13 step 1234 loss 1.2e-09"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_bar_and_time_left_stay_on_a_narrow_terminal(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None, legacy_windows=False)
    with progress_display("A title of a problem that is longer than a terminal is wide", console=console) as show:
        show(ProgressLine(5.0, 0.5, DETAIL))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    last = [line for line in re.split(r"[\r\n]", text) if "━" in line][-1]
    assert len(last) <= width
    assert re.search(r"━+ +(\d+:\d\d|--:--)", last)
    assert last.startswith("A title")


def test_scripts_get_a_line_for_each_stage(capfd: pytest.CaptureFixture[str]) -> None:
    pk.solve("poisson_sine", training=pk.TrainingOptions(steps=3), estimate=False, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.search(r"^Poisson.*: \d+ s, L2 .* residual .* step 1 loss", err, re.MULTILINE)
    pk.solve("poisson_sine", training=pk.TrainingOptions(steps=3), estimate=False)
    assert capfd.readouterr().err == ""
