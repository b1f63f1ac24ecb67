"""Reading of figure files for tests of their writing."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

from pdekan.output.panels import DOTS_PER_INCH


def written_inches(path: Path) -> tuple[float, float]:
    """Width and height of a PNG file, from its header, or of an SVG file, from its root."""
    content = path.read_bytes()
    if path.suffix == ".png":
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", content[16:24])
        return width / DOTS_PER_INCH, height / DOTS_PER_INCH
    root = ElementTree.fromstring(content)
    return tuple(float(root.attrib[name].removesuffix("pt")) / 72.0 for name in ("width", "height"))  # type: ignore[return-value]
