"""Reports: one HTML file with everything in it, looked at in a headless browser where there is one."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.models import Arrow
from bokeh.plotting import figure
from commands import command

from pdekan.domains.ball import ball
from pdekan.domains.box import box
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.shapes import disk
from pdekan.output.frames import MAX_BYTES, frames
from pdekan.output.report_page import Section, code, paragraph, table
from pdekan.output.report_page import page as page_of
from pdekan.output.report_plots import Shown, arrows, plots
from pdekan.output.samples import Samples
from pdekan.problem_files.typesetting import TIMES, mathml
from pdekan.solutions.sampling import sample

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECOND = "<msup><mo>∂</mo><mn>2</mn></msup>"
FIRST = "<mfrac><mrow><mo>∂</mo><mi>u</mi></mrow><mrow><mo>∂</mo><mi>x</mi></mrow></mfrac>"
PROBLEM = """\
schema = 1
name = "warm"
title = "Heat & <flow>"

[domain]
type = "disk"
radius = 1.0
t = [0.0, 0.5]

[functions]
k = "1 + x**2"

[parameters]
alpha = {initial = 1.0, trainable = true}

[equation]
operator = "dt(u) - alpha*div(k*grad(u))"
source = "0"

[[conditions]]
type = "dirichlet"
value = "exact"

[[conditions]]
type = "initial"
value = "exact"

[exact]
u = "x + exp(-t)*y"
alpha = 1.0

[units]
alpha = "m2/s"

[time]
outputs = 5

[outputs]
heat = "integral(u**2)"
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that is hardly trained, written by `solve --report`."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "warm.toml").write_text(PROBLEM)
    options = ("--set", "training.steps=3", "--no-estimate", "--no-figures", "--report", "--output", str(folder / "run"))
    assert command("solve", str(folder / "warm.toml"), *options) in (0, 3)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["files"]["report"] == str(folder / "run" / "report.html")
    return folder / "run" / "report.html"


class Outline(HTMLParser):
    """Elements that are open at the end or closed wrongly, addresses, and what has an alternative text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.labels: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [str(given[key]) for key in ("src", "href", "action", "data") if given.get(key)]
        self.pictures += tag in ("svg", "img")
        if "aria-label" in given or "alt" in given:
            self.labels.append(str(given.get("aria-label") or given.get("alt")))
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def test_the_page_is_one_small_file_that_refers_to_nothing_else(page: Path) -> None:
    text = page.read_text()
    assert len(text.encode()) < 5_000_000
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert {one for one in outline.addresses if not one.startswith(("#", "data:"))} == set()
    assert len(outline.labels) > outline.pictures > 0
    assert "Heat &amp; &lt;flow&gt;" in text
    assert "<flow>" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_the_page_has_the_problem_its_parameters_and_how_to_repeat_it(page: Path) -> None:
    text = page.read_text()
    assert "<mfrac><mrow><mo>∂</mo><mi>u</mi></mrow><mrow><mo>∂</mo><mi>t</mi></mrow></mfrac>" in text
    for wanted in (
        "95 % interval",
        "(m2/s)",
        "<th scope=row>heat</th>",
        "pdekan solve",
        "--seed 0",
        "prefers-color-scheme: dark",
        "@media print",
    ):
        assert wanted in text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-(a + b)*2", "<mo>−</mo><mrow><mo>(</mo><mi>a</mi><mo>+</mo><mi>b</mi><mo>)</mo></mrow><mo>·</mo><mn>2</mn>"),
        ("a - (b - c)", "<mi>a</mi><mo>−</mo><mrow><mo>(</mo><mi>b</mi><mo>−</mo><mi>c</mi><mo>)</mo></mrow>"),
        ("(-a)**2", "<msup><mrow><mrow><mo>(</mo><mo>−</mo><mi>a</mi><mo>)</mo></mrow></mrow><mrow><mn>2</mn></mrow></msup>"),
        ("dx(dy(u))", f"<mfrac><mrow>{SECOND}<mi>u</mi></mrow><mrow><mo>∂</mo><mi>x</mi><mo>∂</mo><mi>y</mi></mrow></mfrac>"),
        ("a*dx(u)", f"<mi>a</mi><mo>{TIMES}</mo>{FIRST}"),
        ("sqrt(pi)*x1", "<msqrt><mi>π</mi></msqrt><mo>\N{INVISIBLE TIMES}</mo><msub><mi>x</mi><mn>1</mn></msub>"),
        ("2.5e-3", "<mn>0.0025</mn>"),
        ("a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        ("<script>", "<mtext>&lt;script&gt;</mtext>"),
        ("__import__('os')", "<mtext>__import__(&#x27;os&#x27;)</mtext>"),
    ],
)  # fmt: skip
def test_formulas_are_typeset_with_the_brackets_they_need(text: str, wanted: str) -> None:
    assert mathml(text, ("x", "y")) == wanted


DOMAINS = {
    "line": box(x=(0, 2)),
    "line in time": box(x=(0, 2), t=(0, 1)),
    "square": box(x=(0, 2), y=(0, 1)),
    "disk in time": Cylinder(disk(), 0.0, 1.0),
    "cube": box(x=(0, 2), y=(0, 1), z=(0, 1)),
    "ball": ball(),
    "cube in time": box(x=(0, 2), y=(0, 1), z=(0, 1), t=(0, 1)),
    "time": box(t=(0, 1)),
}


def linear(name: str) -> Samples:
    domain = DOMAINS[name]
    return sample(domain, ("u",), lambda points: {"u": 1.0 + points @ np.arange(1.0, 1.0 + domain.dimension)})


@pytest.mark.parametrize("name", list(DOMAINS))
def test_frames_have_the_values_at_their_places(name: str) -> None:
    samples = linear(name)
    found = frames(samples, {"u": samples.fields["u"]})
    factors = dict(zip(DOMAINS[name].coordinates, np.arange(1.0, 9.0), strict=False))
    values = found.values["u"]
    assert values.size * 4 <= MAX_BYTES
    assert found.slider == {"line": "", "square": "", "time": "", "cube": "z", "ball": "z"}.get(name, "t")
    at = found.at if found.slider else np.zeros(1)
    constant = 1.0 + sum(factors[one] * value for one, value in found.cut.items())
    expected = constant + factors[found.across] * found.x + (factors[found.slider] * at if found.slider else at)[:, None]
    if found.up:
        expected = expected[:, None, :] + factors[found.up] * found.y[None, :, None]
    inside = np.isfinite(values)
    assert inside.mean() > (0.3 if name == "ball" else 0.7)
    np.testing.assert_allclose(values[inside], expected[inside], atol=1e-9)


def test_texts_of_files_cannot_become_part_of_the_page() -> None:
    hostile = "</script><script>alert(1)</script>"
    found = frames(linear("line"), {"u": linear("line").fields["u"]})
    columns = {name: np.array([1.0, np.nan]) for name in ("step", "loss")}
    drawn = plots(found, [Shown("u", hostile, hostile)], {"x": hostile}, columns)
    assert drawn.script.count("<script") == 1
    assert "alert(1)</script>" not in drawn.script
    body = paragraph("<b>") + table(("<b>",), [("<b>", "<b>")]) + code("<b>", "<b>")
    assert "<b>" not in page_of("<b>", "", [Section("<b>", body)])


def test_arrows_of_a_vector_are_along_it_at_every_step() -> None:
    """Of the rotation (-y, x), which grows in time: at right angles to the radius, anticlockwise, of one length."""
    samples = sample(
        DOMAINS["disk in time"],
        ("u", "v"),
        lambda points: {"u": -points[:, 1] * points[:, 2], "v": points[:, 0] * points[:, 2]},
    )
    found = frames(samples, samples.fields | {"size": np.hypot(samples.fields["u"], samples.fields["v"])})
    plot = figure()
    shown, steps, names = arrows(plot, found, ("u", "v"))
    assert sorted(names) == ["x0", "x1", "y0", "y1"]
    assert len(shown.data["x0"]) == 0  # at rest at the start
    x0, x1, y0, y1 = (np.asarray(steps.data[name][-1]) for name in ("x0", "x1", "y0", "y1"))
    assert len(x0) > 150
    np.testing.assert_allclose(np.hypot(x1 - x0, y1 - y0), np.hypot(x1 - x0, y1 - y0)[0])
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    np.testing.assert_allclose((x1 - x0) * x + (y1 - y0) * y, 0.0, atol=1e-3)
    assert ((y1 - y0) * x - (x1 - x0) * y >= 0.0).all()
    assert len(plot.select(Arrow)) == 1


def test_a_history_without_numbers_is_drawn_empty() -> None:
    found = frames(linear("line"), {"u": linear("line").fields["u"]})
    assert "history" in plots(found, [], {"x": "x"}, {"step": np.empty(0), "loss": np.empty(0)}).places


def test_a_study_has_a_report_without_scripts(tmp_path: Path) -> None:
    study = Path(__file__).parent.parent / "outputs/studies/quick"
    assert command("report", str(study), "--output", str(tmp_path / "study.html")) == 0
    text = (tmp_path / "study.html").read_text()
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert "Slopes of log error by log size" in text


def test_what_has_no_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("report", str(tmp_path)) == 2
    assert "no run here, and no study" in capsys.readouterr().err


def test_without_bokeh_the_command_to_install_it(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command("report", str(page.parent)) == 2
    assert 'pip install "pdekan[report]"' in capsys.readouterr().err
    assert command("solve", "poisson_sine", "--report", "--output", str(tmp_path / "run")) == 2
    assert not (tmp_path / "run").exists()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Headless Chromium that records its console and its requests."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-component-update",
        "disable-sync", f"user-data-dir={tmp_path / 'profile'}", "window-size=1280,900",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


# classes, title and outline of the element that keys go to, in shadow roots too
FOCUSED = """
let one = document.activeElement;
while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
const style = getComputedStyle(one);
return [one.className, one.title, style.outlineStyle, style.outlineWidth];"""
PLOTTED = "return Bokeh.documents?.[0]?.get_model_by_name('slider') !== undefined"


def tab_to(browser: Any, words: str) -> None:
    """Press the tabulator until the element with such a class or title has the focus, and shows it."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for _ in range(30):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        kind, title, style, width = browser.execute_script(FOCUSED)
        if words in kind or words == title:
            assert (style, width) == ("solid", "3px")
            return
    raise AssertionError(f"no way to {words}")


def test_in_a_browser_the_slider_changes_the_picture_and_nothing_is_asked_for(page: Path, browser: Any) -> None:
    """By keyboard alone, from the top of the page."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get_log("performance")  # of the browser's own first page
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(PLOTTED))
    tab_to(browser, "noUi-handle")
    pictures = browser.find_elements("css selector", "figure")
    before = pictures[0].screenshot_as_png
    ActionChains(browser).send_keys(*[Keys.ARROW_RIGHT] * 4).perform()
    value = browser.execute_script("return Bokeh.documents[0].get_model_by_name('slider').value")
    assert value == 4
    WebDriverWait(browser, 30).until(lambda driver: pictures[0].screenshot_as_png != before)
    shown = "const range = Bokeh.documents[0].get_model_by_name('u').x_range; return range.end - range.start"
    whole = browser.execute_script(shown)
    tab_to(browser, "Zoom In")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.execute_script(shown) < 0.95 * whole
    assert [one for one in browser.get_log("browser") if one["level"] == "SEVERE"] == []
    sent = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = [one["params"] for one in sent if one["method"] == "Network.requestWillBeSent"]
    addresses = [one["request"]["url"] for one in asked if one["documentURL"] == page.as_uri()]
    assert page.as_uri() in addresses
    assert [one for one in addresses if not one.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_is_wider_than_the_window(page: Path, browser: Any, width: int) -> None:
    emulated = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulated)
    browser.get(page.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
