"""The page of a report: one HTML file without requests to anywhere, light and dark, on paper and on small screens."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

SHORT = 24  # characters of a cell that is not broken

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1b1f; --soft: #5d5d66; --line: #d9d9e0; --box: #f5f6f8;
  --good: #1c7a43; --bad: #b3261e; --link: #1f5a94; }
@media (prefers-color-scheme: dark) { :root { --paper: #15161a; --ink: #e8e8ec; --soft: #a5a6b0; --line: #3a3b44;
  --box: #202127; --good: #6fcf97; --bad: #ff8a80; --link: #8ab8e6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem;
  border-bottom: 1px solid var(--line); } a { color: var(--link); }
.soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; } .short, .word { white-space: nowrap; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } math { font-size: 1.1rem; } math[display=block] { margin: .4rem 0; padding: .2rem 0;
  overflow-x: auto; overflow-y: hidden; } td math { font-size: 1.05rem; }
pre { background: var(--box); padding: .75rem; overflow-x: auto; border-radius: .4rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
figure { margin: 0; min-width: 0; } figcaption { color: var(--soft); font-size: .875rem; }
.card { background: #ffffff; border-radius: .4rem; padding: .5rem; max-width: 100%; overflow-x: auto; }
.card svg { display: block; margin: 0 auto; max-width: 100%; height: auto; }
.slider { position: sticky; top: 0; background: var(--paper); padding: .5rem 1rem; z-index: 2;
  border-bottom: 1px solid var(--line); }
.skip { position: absolute; left: -100vw; } .skip:focus { left: 1rem; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
@media (max-width: 30rem) { .short { white-space: normal; } table { font-size: .8125rem; } th, td { padding-right: .5rem; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --box: #f5f5f5; }
  body { max-width: none; } .slider { position: static; } figure, tr, pre { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Section:
    """A part of the page: its heading, and HTML."""

    title: str
    body: str


def page(title: str, lead: str, sections: Sequence[Section], scripts: str = "") -> str:
    """The whole page. lead: HTML below the title. scripts: elements at the end."""
    names = [re.sub(r"[^a-z0-9]+", "-", one.title.lower()).strip("-") for one in sections]
    parts = zip(names, sections, strict=True)
    body = "".join(f'<section id="{n}"><h2>{html.escape(one.title)}</h2>{one.body}</section>' for n, one in parts)
    links = " · ".join(f'<a href="#{n}">{html.escape(one.title)}</a>' for n, one in zip(names, sections, strict=True))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<a class="skip" href="#content">Skip to the content</a><header><h1>{html.escape(title)}</h1>{lead}'
        f'<nav aria-label="Contents">{links}</nav></header><main id="content">{body}</main>{scripts}</body></html>\n'
    )


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{html.escape(text)}</p>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts; without a header its first column has the names."""
    head = f"<thead><tr>{''.join(f'<th scope=col>{html.escape(one)}</th>' for one in header)}</tr></thead>" if header else ""
    body = "".join(f"<tr><th scope=row>{html.escape(first)}</th>{_cells(rest)}</tr>" for first, *rest in rows)
    return f'<div class="wide" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def _cells(texts: Sequence[str]) -> str:
    """Cells of a row: single words are never broken, short texts only on a phone."""
    kinds = {text: "" if len(text) >= SHORT else " class=short" if " " in text else " class=word" for text in texts}
    return "".join(f"<td{kinds[text]}>{html.escape(text)}</td>" for text in texts)


def code(text: str, label: str) -> str:
    """Text as it is typed."""
    return f'<pre tabindex="0" aria-label="{html.escape(label, quote=True)}"><code>{html.escape(text)}</code></pre>'


def details(summary: str, body: str) -> str:
    """HTML that is folded away."""
    return f"<details><summary>{html.escape(summary)}</summary>{body}</details>"


def plot(place: str, description: str) -> str:
    """A plot of a library, with a description for those who do not see it."""
    text = html.escape(description, quote=True)
    return f'<figure role="group" aria-label="{text}">{place}<figcaption>{text}</figcaption></figure>'


def grid(figures: Iterable[str]) -> str:
    """Figures beside each other, as many as there is room for."""
    return f'<div class="plots">{"".join(figures)}</div>'


def drawing(figure: Figure, description: str) -> str:
    """A matplotlib figure as SVG in the page, on white, with a description."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    label = html.escape(description, quote=True)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return f'<figure><div class="card">{svg}</div><figcaption>{html.escape(description)}</figcaption></figure>'


def definitions(rows: Mapping[str, str]) -> str:
    """Names with HTML."""
    cells = "".join(f"<tr><th scope=row>{html.escape(name)}</th><td>{inside}</td></tr>" for name, inside in rows.items())
    return f'<div class="wide"><table><tbody>{cells}</tbody></table></div>'
