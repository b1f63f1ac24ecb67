"""Pages that are made from the code: commands, the file's reference, the Python interface, gallery, benchmarks."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pdekan
from pdekan.cli import COMMANDS, argument_parser
from pdekan.problem_files.library import library, titles
from pdekan.problem_files.loader import json_schema

REPOSITORY = "https://github.com/pdekan/pdekan"
DOCS = Path(__file__).parent
ROOT = DOCS.parent
FRONT = (ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md")  # pages whose links begin in the repository's root
FIRST = ("problems", "problem_files", "training", "solutions", "domains", "fields")  # of the packages, on the page of Python


def write(folder: Path) -> None:
    """Write all pages into a folder of `docs`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    made = {"commands.md": commands(), "file.md": file_reference(), "api.md": api(), "gallery.md": gallery()}
    made |= {f"gallery/{name}.md": text for name, text in solved()}
    made |= {f"{path.stem.lower()}.md": path.read_text("utf-8").replace("](docs/", "](../") for path in FRONT}
    made |= {f"benchmarks/{path.name}": path.read_text("utf-8") for path in benchmarks()}
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def commands() -> str:
    """The help of every command."""
    os.environ["COLUMNS"] = "100"  # argparse's width
    every = argument_parser()
    (subparsers,) = (one for one in every._actions if isinstance(one, argparse._SubParsersAction))
    helps = [every.format_help(), *(subparsers.choices[name].format_help() for name in COMMANDS)]
    names = ["pdekan", *(f"pdekan {name}" for name in COMMANDS)]
    return "# Commands\n\n" + "\n".join(f"## {n}\n\n```text\n{h}```\n" for n, h in zip(names, helps, strict=True))


def file_reference() -> str:
    """Every key of a problem file with its type, default and limits, from the JSON schema."""
    schema = json_schema()
    parts = [
        "# Problem file reference\n",
        "Every table and key, from the JSON schema that `pdekan schema` prints. [What a problem file can say](../problems.md) "
        "explains them; [operators and functions](../operators.md) are what formulas are made of.\n",
        f"## Top level\n\n{_keys(schema, schema)}",
    ]
    parts += [f"## {name}\n\n{one.get('description', '')}\n\n{_keys(one, schema)}" for name, one in schema["$defs"].items()]
    return "\n".join(parts)


def _keys(table: dict[str, Any], schema: dict[str, Any]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    required = table.get("required", [])
    for key, one in table.get("properties", {}).items():
        default = "required" if key in required else _toml(one.get("default"))
        words = one.get("description", "").replace("|", "\\|")
        rows.append(f"| `{key}` | {_type(one)} | {default} | {words} |")
    return "\n".join(rows) + "\n"


def _toml(value: Any) -> str:
    """A value as a file writes it; a dash for none and for tables, whose keys have their own defaults."""
    return "–" if value is None or isinstance(value, dict) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(one: dict[str, Any]) -> str:
    """The type of a key in words, with its limits."""
    if "$ref" in one:
        name = one["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if several := one.get("anyOf") or one.get("oneOf"):
        return ", or ".join(dict.fromkeys(_type(each) for each in several if each.get("type") != "null"))
    if "const" in one or "enum" in one:
        return " ".join(_toml(each) for each in one.get("enum", [one.get("const")]))
    if one.get("type") == "array":
        return f"list of {_type(one.get('items', {}))}{_limits(one)}"
    if one.get("type") == "object":
        return f"table of {_type(one.get('additionalProperties', {}))}{_limits(one)}"
    kinds = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return kinds.get(one.get("type", ""), one.get("type", "any")) + _limits(one)


_LIMITS = {
    "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}",
    "minItems": "at least {}", "maxItems": "at most {}", "maxLength": "at most {} characters",
}  # fmt: skip


def _limits(one: dict[str, Any]) -> str:
    words = [text.format(one[key]) for key, text in _LIMITS.items() if key in one]
    return f" ({', '.join(words)})" if words else ""


def api() -> str:
    """The public names of the package, by the subpackages that they come from."""
    parts = ["# Python interface\n", "All names are those of `pdekan`: `import pdekan as pk`.\n"]
    homes: dict[str, list[str]] = {package: [] for package in FIRST}
    for name, home in pdekan._HOME.items():
        homes.setdefault(home.split(".")[0], []).append(name)
    for package, names in homes.items():
        subject = importlib.import_module(f"pdekan.{package}").__doc__ or package
        parts += [f"## {subject.split(':')[0].split('.')[0]}\n", *map(_entry, names)]
    return "\n".join(parts)


def _entry(name: str) -> str:
    one = getattr(pdekan, name)
    kind = "autoclass" if isinstance(one, type) else "autofunction" if callable(one) else "autodata"
    members = "   :members:\n" if kind == "autoclass" else ""
    return f"```{{eval-rst}}\n.. {kind}:: pdekan.{name}\n{members}```\n"


def gallery() -> str:
    """The pictures of the library, each with a link to its page."""
    cards = [
        f":::{{grid-item-card}} {_breakable(name)}\n:link: gallery/{name}\n:link-type: doc\n"
        f":img-top: {_picture(name)}\n:img-alt: Solution of {name}\n{title}\n:::\n"
        for name, title in titles().items()
        if _picture(name)
    ]
    entries = "\n".join(f"gallery/{name}" for name in library())
    rows = table()
    others = [name for name in library() if _picture(name) and (name not in rows or "picture" in rows[name])]
    of_others = f" {', '.join(others)} are shown by exact or reference solutions." if others else ""
    return (
        "# Gallery\n\nEvery problem of the library. Behind each picture are the file, the commands and, of those in\n"
        f"[the table](../library.md), time, size and error with the settings of the file.{of_others}\n\n"
        f"::::{{grid}} 2 3 4 4\n:gutter: 2\n\n{''.join(cards)}::::\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"
    )


def table() -> dict[str, dict[str, Any]]:
    """The rows of the library's table, by problem."""
    rows: dict[str, dict[str, Any]] = json.loads((ROOT / "tests" / "benchmarks" / "library.json").read_text("utf-8"))
    return rows


def _breakable(name: str) -> str:
    return name.replace("_", "_\N{ZERO WIDTH SPACE}")


def _picture(name: str, prefix: str = "../") -> str:
    return f"{prefix}library/{name}.png" if (DOCS / "library" / f"{name}.png").exists() else ""


def solved() -> Iterator[tuple[str, str]]:
    """The pages of the library's problems."""
    rows = table()
    for name, path in library().items():
        picture = f"![{name}]({_picture(name, '../../')})\n\n" if _picture(name) else ""
        facts = _facts(rows[name]) if name in rows else ""
        text = path.read_text("utf-8")
        yield (
            name,
            f"# {name}\n\n{titles()[name]}.\n\n{picture}{facts}```sh\npdekan show {name} --to {name}.toml\n"
            f"pdekan solve {name}.toml\n```\n\nIn Python:\n\n```python\nimport pdekan as pk\n\nsolution = "
            f'pk.solve("{name}")\nsolution.plot()\n```\n\nThe file:\n\n```toml\n{text}```\n',
        )


def _facts(row: dict[str, Any]) -> str:
    errors = [f"{what} {row[key]:.1e}" for key, what in (("l2", "L2"), ("h1_seminorm", "H1 seminorm")) if row[key] is not None]
    error = f"; relative error against the exact solution: {', '.join(errors)}" if errors else ""
    return f"{row['status'].capitalize()} after {row['seconds']} s with {row['parameters']} parameters{error}.\n\n"


def benchmarks() -> list[Path]:
    """The tables of the benchmarks."""
    return sorted((ROOT / "tests" / "benchmarks").glob("*.md"))
