"""On a pseudo-terminal, read as a user sees it: one bar at a time, after the training too, and none in the end."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import TINY

WIDTH = 100
PARTS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+")


class Screen:
    """A terminal's lines; knows what rich writes: colours, the cursor up, the erasure of a line."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row = self.column = 0

    def write(self, part: str) -> None:
        if part == "\n":
            self.row += 1
            self.lines += [""] * (self.row + 1 - len(self.lines))
        elif part == "\r":
            self.column = 0
        elif part.startswith("\x1b["):
            self._control(part)
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + part + line[self.column + len(part) :]
            self.column += len(part)

    def _control(self, part: str) -> None:
        if part.endswith("A"):
            self.row = max(0, self.row - int(part[2:-1] or 1))
        elif part == "\x1b[2K":
            self.lines[self.row] = ""
        else:
            assert part[-1] in "mhl", part

    @property
    def bars(self) -> list[str]:
        return [line for line in self.lines if "━" in line]


def on_a_terminal(*arguments: str) -> tuple[int, list[str]]:
    """The exit code of a command, and what it wrote, in parts: controls, ends of lines, texts."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    program = "import sys\nfrom pdekan.cli import main\nsys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
    ) as process:  # fmt: skip
        os.close(theirs)
        written = b""
        try:
            while chunk := _read(ours):
                written += chunk
            code = process.wait(60)
        finally:
            process.kill()
            os.close(ours)
    return code, PARTS.findall(written.decode().replace("\r\n", "\n\r"))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end is closed
        return b""


def test_one_bar_at_a_time_and_none_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, the comparison with a richer space, finite elements as the reference, bounds, figures and a page."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY)
    code, parts = on_a_terminal("solve", "tiny.toml", "--output", "out", "--bound", "--report")
    assert code == 0
    screen, seen = Screen(), set[str]()
    for part in parts:
        screen.write(part)
        assert len(screen.bars) <= 1
        seen |= {line.split("━")[0].strip() for line in screen.bars}
    assert seen == {"tiny", "tiny: bounds"}
    assert screen.bars == []
    shown = "\n".join(screen.lines)
    assert shown.lstrip().startswith("status ")
    assert "report" in shown
