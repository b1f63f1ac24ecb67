"""The messages of pydantic in the terms of problem files."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import ErrorDetails

from pdekan.problem_files import domains, schema
from pdekan.problem_files.reader import LISTS, near, quoted
from pdekan.problem_files.tables import NUMBER, Table, table_of
from pdekan.problems.options import NetworkOptions, Nodes, TrainingOptions, Weights

_TABLES: dict[str, type[Table]] = {
    "": schema.ProblemFile, "equation": schema.Equation, "conditions": schema.Condition, "network": table_of(NetworkOptions),
    "training": table_of(TrainingOptions), "weights": table_of(Weights), "[Nodes]": table_of(Nodes), "data": schema.Data,
    "enrichment": schema.Enrichment, "[ParameterTable]": schema.ParameterTable,
}  # fmt: skip
_TAGS = ("[key]", "[Nodes]", "[ParameterTable]", "[faces]", "[place]", NUMBER)  # parts of a location that are no keys
_KINDS = re.compile(r"constrained-\w+|(list|literal|function-\w+)\[.*")  # such parts that pydantic names by itself
_WANTED = {
    "string": "text in quotes", "int": "a whole number", "float": "a finite number", "finite_number": "a finite number",
    "list": "a list [ … ]", "dict": "a table", "model": "a table", "model_attributes": "a table",
}  # fmt: skip
_LIMITS = {
    "ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "at least", "max_length": "at most",
}  # fmt: skip


def described(item: ErrorDetails, data: Any) -> tuple[tuple[str | int, ...], str]:
    """The key in the file that an error is about, and a message. data: the tables of the file."""
    named = tuple(part for part in item["loc"] if part not in _TAGS and part not in domains.tables())
    path = tuple(part for part in named if not (isinstance(part, str) and _KINDS.fullmatch(part)))
    return _in_file(path, data), _in_words(item)


def _in_file(path: tuple[str | int, ...], data: Any) -> tuple[str | int, ...]:
    """A key without the indices of items that the file states as one value instead of a list."""
    kept: list[str | int] = []
    for part in path:
        if isinstance(part, int) and not isinstance(data, list):
            continue
        kept.append(part)
        inside = isinstance(data, dict) or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        data = (data.get(part) if isinstance(data, dict) else data[part]) if inside else None
    return tuple(kept)


def _unknown_key(key: str, known: list[str], table: str) -> str:
    """The message of a key that a table does not have: where it belongs, one that is spelt alike, and those that there are."""
    message, top = f"unknown key; known are {', '.join(known)}", schema.ProblemFile.model_fields
    if key in top and key not in known:
        tables = (*_TABLES, "domain", "parameters", "functions", "exact", "outputs")
        table = f"[[{key}]]" if key in LISTS else f"[{key}]" if key in tables else key
        return f"{message}; {table} belongs at the top level of the file" + (", before the first table" if table == key else "")
    for other in ("equation", "network", "training"):
        if table in ("", "equation", "network", "training") and key in _TABLES[other].model_fields:
            return f"{message}; it belongs to the table {other}: {other}.{key}"
    alike = near(key, known)
    return f"{message}; {alike}" if alike else message


def _as_name(found: str) -> str:
    """A name of the allowed characters that is much like a text."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", found).strip("_-")
    return f", such as {quoted(name)}" if name else ""


def _in_words(item: ErrorDetails) -> str:
    """The message of an error."""
    kind, found, context = item["type"], quoted(item["input"]), item.get("ctx", {})
    if kind == "refused":
        return str(context["message"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        tables = _TABLES | domains.tables()
        last = [str(part) for part in ("", *item["loc"][:-1]) if part in tables][-1]
        known = [field.alias or name for name, field in tables[last].model_fields.items()]
        return _unknown_key(str(item["loc"][-1]), known, last)
    if kind == "literal_error":
        return f"found {found}, expected {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"found {found}; letters, digits, _ and - are allowed{_as_name(item['input'])}"
    if kind == "list_type" and item["loc"][-1] in LISTS:
        return f"found {found}, expected a list: write its header in double brackets, [[{item['loc'][-1]}]]"
    for limit, words in _LIMITS.items():
        if limit in context:
            names = [part for part in item["loc"] if part in schema.REASONS]
            reason = f" ({schema.REASONS[str(names[-1])]})" if names and limit == "le" else ""
            unit = " long" if limit.endswith("length") else ""
            return f"found {found}; it must be {words} {context[limit]}{unit}{reason}"
    wanted = _WANTED.get(kind.removesuffix("_type"), item["msg"])
    return f"found {found}, expected {wanted}"
