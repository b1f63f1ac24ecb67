"""Reading a problem file's text: TOML, overrides of keys, and the line of every key for messages."""

from __future__ import annotations

import codecs
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import tomli_w

from pdekan.problem_files.lexer import shortened
from pdekan.problem_files.library import problems
from pdekan.problems.formulas import ProblemError

MAX_BYTES = 1_000_000
MAX_LINE = 20_000  # twice the longest expression; tomllib takes quadratic time for a key of very many parts
MAX_KEY = 20  # parts of a dotted key
MAX_DEPTH = 12  # of tables in tables
LISTS = ("conditions", "data", "enrichment")  # of tables, each under a header in double brackets
MAX_MESSAGES = 20  # printed at once

Key = tuple[str | int, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_TABLES = re.compile(rf"\s*\[\[\s*({_KEY})\s*\]\]")
_TABLE = re.compile(rf"\s*\[\s*({_KEY})\s*\]\s*(?:#.*)?$")
_ENTRY = re.compile(rf"\s*({_KEY})\s*=")
# searched for anywhere, since inline tables have dotted keys too; the look-behind excludes a start inside a part
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{MAX_KEY},}}")


class ProblemFileError(ProblemError):
    """A problem file that cannot be used. messages: one for each fault, with file, line, key."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)


@dataclass
class Source:
    """The text of a problem file, its data, and the messages about its faults so far.

    where: its name in messages. text: with the overrides. lines: of the keys. overridden: keys. origin: from the keys of what
    is made of the data to the keys of the file.
    """

    where: str
    text: str
    data: dict[str, Any]
    lines: dict[Key, int]
    overridden: tuple[Key, ...] = ()
    messages: list[str] = field(default_factory=list)
    origin: Callable[[Key], Key] = lambda path: path

    def add(self, path: Key, message: str) -> None:
        """Add a message about a key."""
        path = self.origin(path)
        key = ".".join(str(part) for part in path)
        if any(path[: len(start)] == start for start in self.overridden):
            place = f"{self.where} (overridden)"
        else:
            line = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
            place = self.where if line is None else f"{self.where}:{line}"
        entry = f"{place}: {key}: {message}" if key else f"{place}: {message}"
        if entry not in self.messages:
            self.messages.append(entry)

    def refuse(self, path: Key, message: str) -> NoReturn:
        """Add a message and raise ProblemFileError."""
        self.add(path, message)
        raise ProblemFileError(self.messages)

    @contextmanager
    def noting(self, *path: str | int) -> Iterator[None]:
        """Whatever ValueError is raised inside becomes a message about this place of the file."""
        try:
            yield
        except ProblemFileError:
            raise  # noted already
        except ValueError as error:
            self.add(path, str(error))

    def check(self) -> None:
        """Raise ProblemFileError if there are messages."""
        if self.messages:
            raise ProblemFileError(self.messages[:MAX_MESSAGES])


def read(problem: str | Path) -> tuple[str, str]:
    """Name and text of a problem file, given by its path or by its name in the library. Raises ProblemFileError."""
    path, shipped = Path(problem), problems()
    try:
        if not path.exists() and str(problem) in shipped:
            path = shipped[str(problem)]
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ProblemFileError(
            [f"{problem}: there is no such file, and no such problem in the library: {_hint(str(problem), shipped)}"]
        ) from None
    except IsADirectoryError:
        own = path / "problem.toml"
        hint = f"did you mean {own}?" if own.exists() else "name a file in it; `pdekan bench` solves all in a folder"
        raise ProblemFileError([f"{shortened(str(problem))!r}: cannot be read: it is a folder; {hint}"]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ProblemFileError([f"{shortened(str(problem))!r}: cannot be read: {reason}"]) from None
    if len(content) > MAX_BYTES:
        raise ProblemFileError([f"{path}: more than {MAX_BYTES} bytes; a problem file is small: data belong in [[data]] files"])
    try:
        return str(path), content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ProblemFileError([f"{path}: the file is UTF-16; save it as UTF-8"]) from None
        raise ProblemFileError(
            [f"{path}:{line}: not UTF-8: byte {content[error.start]:#04x}; save the file as UTF-8"]
        ) from None


def near(name: str, known: Iterable[str]) -> str:
    """A question after names that are spelt alike; empty where none is."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else ""


def _hint(name: str, shipped: Iterable[str]) -> str:
    alike = f"did you mean {name}.toml?" if Path(f"{name}.toml").exists() else near(name.removesuffix(".toml"), shipped)
    return f"{alike} `pdekan list` shows all".strip()


def parse_source(text: str, where: str, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Source:
    """Parse a problem file's text and apply overrides. Raises ProblemFileError for a text that is not TOML."""
    data, lines, changes = _parsed(text, where), _key_lines(text), _changes(overrides)
    for path, value in changes.items():
        _override(data, path, value)
    return Source(where, _dumped(data, where) if changes else text, data, lines, tuple(changes))


def quoted(value: object) -> str:
    """A value as a problem file writes it, shortened for a message."""
    if isinstance(value, (bool, str)):
        return shortened(json.dumps(value, ensure_ascii=False))
    return shortened(repr(value))


def _parsed(text: str, where: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise ProblemFileError([f"{where}: more than {MAX_BYTES} characters; a problem file is small"])
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise ProblemFileError([f"{where}:{number}: a line of {len(line)} characters; at most {MAX_LINE} are allowed"])
    if long := _LONG_KEY.search(text):
        at = text.count("\n", 0, long.end()) + 1
        raise ProblemFileError([f"{where}:{at}: a key of more than {MAX_KEY} parts"])
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        position = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        place = f"{where}:{position[1]}: column {position[2]}" if position else where
        reason = message[: position.start()] if position else message
        hint = _toml_hint(text.split("\n")[int(position[1]) - 1], reason) if position else ""
        raise ProblemFileError([f"{place}: not TOML: {shortened(reason, 200)}{hint}"]) from None
    except RecursionError:
        raise ProblemFileError([f"{where}: not a problem file: brackets are nested too deeply"]) from None
    except ValueError as error:  # an integer of thousands of digits
        raise ProblemFileError([f"{where}: not TOML: {shortened(str(error), 100)}"]) from None
    _check_depth(data, where)
    return data


def _toml_hint(line: str, reason: str) -> str:
    """What is likely wrong with a line that is not TOML, for the reason that tomllib gives."""
    if header := re.match(rf"\s*\[\s*({'|'.join(LISTS)})\s*\]", line):
        return f"; {header[1]} are a list: write [[{header[1]}]] before each"
    if reason.startswith("Cannot declare"):
        return "; a table has one header: put the keys of both below it"
    key, equals, value = line.partition("=")
    if quotes := re.search("[\u201c\u201d\u201e\u2018\u2019]", line):
        return f'; write straight quotes, ", instead of {quotes[0]}'
    if word := re.fullmatch(r"\s*(True|False|TRUE|FALSE)\s*(#.*)?", value):
        return f"; write {key.strip()} = {word[1].lower()}"
    if equals and re.fullmatch(_KEY, key.strip()) and re.match(r"\s*[^\s\d\[{\"'#]", value):
        return f'; formulas and text stand in quotes: {shortened(key)} = "{shortened(value.partition("#")[0])}"'
    if equals and not key.isascii():
        return "; names are made of the letters a to z, A to Z, digits and _"
    return ""


def _dumped(data: dict[str, Any], where: str) -> str:
    _check_depth(data, where)
    try:
        return tomli_w.dumps(data)
    except TypeError as error:  # an override from Python whose value TOML does not have
        raise ProblemFileError([f"{where} (overridden): {error}; numbers, text, lists and tables are allowed"]) from None


def _check_depth(data: object, where: str) -> None:
    """Raise ProblemFileError for tables and lists nested so deeply that recursive functions may fail."""
    items: list[object] = [data]
    for _ in range(MAX_DEPTH):
        holders = [item for item in items if isinstance(item, dict | list)]
        items = [part for item in holders for part in (item.values() if isinstance(item, dict) else item)]
    if items:
        raise ProblemFileError([f"{where}: not a problem file: tables are nested more than {MAX_DEPTH} deep"])


def _split(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, key))


def _key_lines(text: str) -> dict[Key, int]:
    """The line of each key and table, by a scan for headers, entries and multi-line strings."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    in_string = False
    for number, line in enumerate(text.split("\n"), 1):
        if not in_string:
            if match := _TABLES.match(line):
                base = _split(match[1])
                table = (*base, counts.get(base, 0))
                counts[base] = counts.get(base, 0) + 1
                lines.setdefault(base, number)
                lines[table] = number
            elif match := _TABLE.match(line):
                table = _split(match[1])
                lines.setdefault(table, number)
            elif match := _ENTRY.match(line):
                lines.setdefault((*table, *_split(match[1])), number)
        in_string ^= (line.count('"""') + line.count("'''")) % 2 == 1
    return lines


def _changes(overrides: Mapping[str, Any] | Sequence[str]) -> dict[Key, Any]:
    if isinstance(overrides, Mapping):
        return {_override_path(key, key): value for key, value in overrides.items()}
    changes: dict[Key, Any] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ProblemFileError([f"override {shortened(override)!r}: write section.key=value, such as training.seed=1"])
        changes[_override_path(key.strip(), override)] = _override_value(value.strip())
    return changes


def _override_path(key: str, override: str) -> Key:
    parts = key.split(".")
    if not all(parts) or len(parts) > MAX_KEY:
        raise ProblemFileError([f"override {shortened(override)!r}: the key is written section.key, such as training.seed"])
    return tuple(int(part) if part.isascii() and part.isdigit() and len(part) < 9 else part for part in parts)


def _override_value(value: str) -> Any:
    """A TOML value, or else the bare text: ``training.optimizer=adam`` needs no quotes."""
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return value
    return parsed["value"] if len(parsed) == 1 else value


def _override(data: dict[str, Any], path: Key, value: Any) -> None:
    parameters = data.get("parameters", {})
    if path[0] == "parameters" and len(path) > 1 and isinstance(parameters, dict) and path[1] not in parameters:
        hint = near(str(path[1]), parameters) or (f"there are {', '.join(parameters)}" if parameters else "there are none")
        raise ProblemFileError([f"override of {'.'.join(map(str, path))}: there is no parameter {path[1]}; {hint}"])
    holder: Any = data
    for part, following in zip(path, [*path[1:], None], strict=True):
        listed = isinstance(holder, list) and isinstance(part, int) and part < len(holder)
        if not listed and not isinstance(holder, dict):
            key, start = ".".join(map(str, path)), ".".join(map(str, path[: path.index(part)]))
            hint = f"; {start} is a list: {start}.0 is its first entry" if isinstance(holder, list) else ""
            raise ProblemFileError([f"override of {key}: there is no {part!r} in {quoted(holder)}{hint}"])
        name = part if listed else str(part)
        if following is None:
            holder[name] = value
        else:
            holder = holder[name] if listed else holder.setdefault(name, {})
