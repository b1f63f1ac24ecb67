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
        "x;u\n0,5;1\n1;-2e3\n",
        "x;u\n0.5;1,0\n1;-2e3\n",
        "x\tu\n0,5\t1\n1\t-2e3\n",
        "x  u\n 0.5  1\n1 -2e3\n",
        "# measured on a Monday\n# x,u\n0.5,1\n# the next day\n1,-2e3\n",
        "# x u\n5.0e-01 1.0e+00\n1.0e+00 -2.0e+03\n",
        "# a file of ours\nx,u\n0.5,1\n1,-2e3\n",
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
        (b"x,u\n0,5,1\n", r"table\.csv:2: 3 cells; .*; where commas are decimal points, semicolons or tabs have to part"),
        (b"x;u\n1.5,0;2\n", r"column 1: cells are not numbers$"),
        (b"0.5,1\n1,2\n", "the first line has numbers; it has to name the columns"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe\x00", "cannot be read"),
        (b"x,u\n1,2\x00\n", "cannot be read|are not numbers"),
        ("x,u\n1,2\n".encode("utf-16"), r"UTF-16, not a text file in UTF-8; save it as CSV \(UTF-8\)"),
        (b"PK\x03\x04\x14\x00", r"a spreadsheet, not a text file in UTF-8; save it as CSV \(UTF-8\)"),
        ("x,u\n1,2 µ\n".encode("latin-1"), "not a text file in UTF-8"),
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


def test_text_that_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,sensor,u\n0,left,1\n1,right,NA\n", "utf-8")
    columns = read_columns(path, ("x", "u"))
    assert set(columns) == {"x", "u"}
    np.testing.assert_array_equal(columns["u"], [1.0, np.nan])
    with pytest.raises(OutputError, match=r"table\.csv:2: column 2: cells are not numbers"):
        read_columns(path, ("x", "sensor"))


def test_what_numpy_writes(tmp_path: Path) -> None:
    written = np.random.default_rng(0).standard_normal((5, 2))
    for more in ({}, {"delimiter": ","}, {"delimiter": ";", "comments": ""}):
        path = tmp_path / "table.csv"
        np.savetxt(path, written, header=more.get("delimiter", " ").join("xu"), fmt="%.18e", **more)
        columns = read_columns(path)
        np.testing.assert_array_equal(np.stack([columns["x"], columns["u"]], axis=1), written)


def test_netcdf_and_parquet(tmp_path: Path) -> None:
    """A field over its axes is as many rows as it has values; columns of a table are those of the table."""
    xarray, pyarrow = pytest.importorskip("xarray"), pytest.importorskip("pyarrow")
    field = xarray.Dataset({"u": (("x", "t"), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])}, {"x": [0.0, 1.0], "t": [0, 1, 2]})
    field["t"].attrs["units"] = "days since 2000-01-01"
    for engine in ("h5netcdf", "scipy"):
        field.to_netcdf(tmp_path / "field.nc", engine=engine)
        columns = read_columns(tmp_path / "field.nc", ("x", "t", "u", "v"))
        assert columns["x"].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
        assert columns["t"].tolist() == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
        assert columns["u"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": [0, 1], "u": [0.5, None], "name": ["a", "b"]}), tmp_path / "table.parquet")
    columns = read_columns(tmp_path / "table.parquet")
    assert set(columns) == {"x", "u"}
    np.testing.assert_array_equal(columns["u"], [0.5, np.nan])
    for name in ("bad.nc", "bad.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(OutputError, match=f"{name}: not a"):
            read_columns(tmp_path / name)


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
