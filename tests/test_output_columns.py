"""Tables that users bring: every way in which they are written, and every way in which they are wrong."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from pdekan.output.columns import read_columns
from pdekan.output.samples import OutputError


@pytest.mark.parametrize(
    "text",
    [
        "x,u\n0.5,1\n1,-2e3\n",
        "x,u\r\n0.5,1\r\n1,-2e3\r\n",
        "\ufeffx,u\n0.5,1\n1,-2e3",
        "x,u,,\n0.5,1,,\n1,-2e3,,\n",
        "\n  x , u \n\n 0.5 , 1 \n\n1,-2e3\n , \n\n",
        '"x","u"\n"0.5","1"\n1,-2e3\n',
    ],
)
def test_csv(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    columns = read_columns(path)
    assert list(columns) == ["x", "u"]
    assert columns["x"].tolist() == [0.5, 1.0]
    assert columns["u"].tolist() == [1.0, -2000.0]


def test_an_empty_cell_is_nan(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,u,v\n0,,1\n1,2,\n", "utf-8")
    columns = read_columns(path)
    assert math.isnan(columns["u"][0])
    assert math.isnan(columns["v"][1])
    assert (columns["x"].tolist(), columns["u"][1], columns["v"][0]) == ([0.0, 1.0], 2.0, 1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"table\.csv: empty; the first line names the columns"),
        (b"\n , \n\n", "empty; the first line names the columns"),
        (b"x,u,x\n1,2,3\n", "two columns have the same name; the columns are x, u, x"),
        (b"x,u\n1,2\n\n3\n", r"table\.csv:4: 1 cells; the first line names 2 columns"),
        (b"x,u\n1,2,3\n", r"table\.csv:2: 3 cells"),
        (b"x,u\n1,two\n", r"table\.csv:2: column 2: cells are not numbers"),
        (b"x,u\n1,1.0.0\n", "are not numbers"),
        (b"x;u\n1;2\n", r"column 1: cells are not numbers; commas part the cells, and a point the decimals"),
        (b"x;u\n1,5;2\n", r"table\.csv:2: 2 cells; the first line names 1 columns; commas part the cells"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe\x00", "cannot be read"),
        (b"x,u\n1,2\x00\n", "cannot be read|are not numbers"),
        ("x,u\n1,2\n".encode("utf-16"), "cannot be read"),
        (b'x,u\n1,"' + b"2" * 200_000 + b'"\n', "cannot be read"),
    ],
)
def test_csv_that_is_none(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=message):
        read_columns(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none\.csv: cannot be read: No such file"):
        read_columns(tmp_path / "none.csv")
    with pytest.raises(OutputError, match=r"none\.h5: there is no such file"):
        read_columns(tmp_path / "none.h5")
    with pytest.raises(OutputError, match="cannot be read: Is a directory"):
        read_columns(tmp_path)


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".HDF5"])
def test_hdf5(suffix: str, tmp_path: Path) -> None:
    """Numbers in one dimension are columns; all else in the file is passed over."""
    path = tmp_path / ("table" + suffix)
    with h5py.File(path, "w") as file:
        file["x"] = np.array([1, 2, 3])
        file["u"] = np.array([0.5, np.nan, 1.5], dtype=np.float32)
        file["picture"] = np.zeros((2, 2))
        file["note"] = "text"
        file["names"] = np.array([b"a", b"b", b"c"])
        file.create_group("more")["y"] = np.zeros(7)
    columns = read_columns(path)
    assert set(columns) == {"x", "u"}
    assert columns["x"].dtype == columns["u"].dtype == np.float64
    np.testing.assert_array_equal(columns["u"], [0.5, np.nan, 1.5])


def test_hdf5_of_unequal_lengths_or_junk(tmp_path: Path) -> None:
    path = tmp_path / "table.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["u"] = np.zeros(3), np.zeros(4)
    with pytest.raises(OutputError, match="columns differ in length: u 4, x 3"):
        read_columns(path)
    whole = path.read_bytes()
    for content in (b"\x00\x01\x02" * 100, whole[: len(whole) // 3], b""):
        path.write_bytes(content)
        with pytest.raises(OutputError, match=r"table\.h5: not an HDF5 file, truncated or damaged"):
            read_columns(path)
