"""Users' images as values on a grid."""

from __future__ import annotations

import warnings
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
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of images that would take all memory
            pixels = np.asarray(imread(str(path), format="png"), dtype=np.float64)
    except Exception as error:  # readers raise any exception on a broken file
        raise OutputError(f"{path}: not a PNG image that can be read ({type(error).__name__}); save it again") from None
    if min(pixels.shape[:2]) < 2 or max(pixels.shape[:2]) > MOST:
        raise OutputError(f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels; from 2 to {MOST} along a side are allowed")
    grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] < 3 else pixels
    brightness = grey if grey.ndim == 2 else grey[..., :3] @ BRIGHTNESS
    return np.ascontiguousarray(brightness[::-1].T)
