"""Users' images as values on a grid."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from pdekan.output.samples import Array, OutputError

BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R BT.601
MOST = 4096  # pixels along a side


def read_image(path: Path) -> Array:
    """The brightness of a PNG file ``(columns, rows)``, from 0 to 1, columns from left to right and rows from below upwards.

    Raises OutputError for a file that is no such image, and for one of less than 2 or more than MOST pixels along a side.
    """
    from matplotlib.image import imread

    try:
        with path.open("rb") as file:
            width, height = struct.unpack(">16x2I", file.read(24))  # before an image is read that takes all memory
        allowed = min(width, height) >= 2 and max(width, height) <= MOST
        pixels = np.asarray(imread(str(path), format="png") if allowed else 0.0, dtype=np.float64)
    except Exception as error:  # readers raise any exception on a broken file
        raise OutputError(f"{path}: not a PNG image that can be read ({type(error).__name__}); save it again") from None
    if not allowed:
        raise OutputError(f"{path}: {width} x {height} pixels; from 2 to {MOST} along a side are allowed")
    grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] < 3 else pixels
    brightness = grey if grey.ndim == 2 else grey[..., :3] @ BRIGHTNESS
    return np.ascontiguousarray(brightness[::-1].T)
