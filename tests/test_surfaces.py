"""Surfaces of bodies: what is drawn of them, and what is said where nothing can be drawn."""

from __future__ import annotations

import importlib.util
import logging
import math

import numpy as np
import pytest
from matplotlib.image import AxesImage

from pdekan.domains.ball import ball
from pdekan.domains.base import Domain
from pdekan.domains.box import Box, box
from pdekan.output import surfaces
from pdekan.output.samples import Samples
from pdekan.output.views import to_pyvista
from pdekan.solutions.sampling import sample


def linear(domain: Domain) -> Samples:
    return sample(
        domain, ("u",), lambda points: {"u": points[:, 0]}, (11,) * domain.dimension if isinstance(domain, Box) else None
    )


def test_an_eighth_is_cut_away() -> None:
    """Areas and lengths are those of geometry, and values those of the field."""
    parts, lines = surfaces.opened(to_pyvista(linear(box(x=(0, 1), y=(0, 2), z=(0, 4)))))
    areas = [part.area for part in parts]
    assert sum(areas[-3:]) == pytest.approx(28 / 8)
    assert sum(areas[:-3]) == pytest.approx(28 - 28 / 8)
    assert sum(line.compute_cell_sizes()["Length"].sum() for line in lines) == pytest.approx(28 - 28 / 8 + 7)
    for part in parts:
        np.testing.assert_allclose(part["u"], part.points[:, 0], atol=1e-6)  # PyVista's points are of single precision


def test_the_cut_of_a_ball_is_three_quarters_of_its_disk() -> None:
    parts, _ = surfaces.opened(to_pyvista(linear(ball(radius=2.0))))
    assert sum(part.area for part in parts[-3:]) == pytest.approx(3 * math.pi, rel=0.01)


def test_the_picture_has_the_colours_of_the_scale(caplog: pytest.LogCaptureFixture) -> None:
    drawn = surfaces.surfaces(linear(box(x=(0, 1), y=(0, 1), z=(0, 1), t=(0, 1))), ("u",))
    if not drawn:
        pytest.skip(caplog.messages[-1])
    (picture,) = [one for one in drawn["u"].axes[0].get_children() if isinstance(one, AxesImage)]
    pixels = np.asarray(picture.get_array())[..., :3]
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert np.ptp(pixels.sum(axis=2)) > 1.0
    assert "$t$ = 1" in drawn["u"].axes[0].get_title()


@pytest.mark.parametrize(
    ("program", "words"),
    [("import os; os.kill(os.getpid(), 11)", "no OpenGL"), ("raise ImportError('libXrender.so.1')", "libXrender.so.1")],
)
def test_where_nothing_can_be_drawn_the_reason_is_said(
    program: str, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(surfaces, "_PROGRAM", program)
    with caplog.at_level(logging.WARNING):
        assert surfaces.surfaces(linear(box(x=(0, 1), y=(0, 1), z=(0, 1))), ("u",)) == {}
    assert words in caplog.text


def test_without_pyvista_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert surfaces.surfaces(linear(box(x=(0, 1), y=(0, 1), z=(0, 1))), ("u",)) == {}
    assert 'pip install "pdekan[viz]"' in caplog.text
    assert surfaces.surfaces(linear(box(x=(0, 1), y=(0, 1))), ("u",)) == {}
