"""Normalize an image to the size, position and contrast of the training images.

MNIST's digits fit into a box of 20 × 20 pixels, with their center of mass in the middle of 28 × 28 pixels, light on
dark. To classify a photographed or drawn digit, a network trained on them needs it in the same form. The geometry of a
dataset is measured on its training images. If these are not light objects on black, the image is only scaled.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from feedforward.data.readers.image_decoding import Gray, Levels, read

MIN_CONTRAST = 24.0  # of 255; an image with less contrast counts as blank
BOX_THRESHOLD = 0.2  # share of the greatest strength; fainter pixels do not extend the bounding box
AGREEMENT = 0.95  # share of the training images that must agree on the box size, or show a light object on black
NEARLY_ALL = 0.99  # share of the training images whose centers of mass are within the tolerance
MAX_TOLERANCE = 0.25  # of the box size; where objects are anywhere, their position may matter
ALL_LINES = slice(None)


@dataclass(frozen=True)
class ImageGeometry:
    """Size of the images, in pixels, and where their foreground is.

    box: longer side of the foreground's bounding box; None if it differs between images, or is as long as the images.
    center: (row, column) of the foreground's center of mass. tolerance: by how many pixels it may differ.
    """

    height: int
    width: int
    box: int | None
    center: tuple[float, float]
    tolerance: float = 1.0


@dataclass(frozen=True)
class Foreground:
    """Pixels that differ from the `background` level by more than `noise` and by at most `strongest`.

    side: 1 if all of them are lighter than the background, -1 if all are darker, 0 if both occur.
    """

    levels: Levels
    background: float
    noise: float
    strongest: float
    side: int

    def strength(self, rows: slice = ALL_LINES, columns: slice = ALL_LINES) -> Levels:
        """The absolute difference from the background, 0–255, in the given rows and columns; noise becomes 0."""
        part = self.levels[rows, columns]
        if part.dtype == np.uint8 and self.side and not self.noise:  # the background is an integer: uint8 suffices
            background = np.uint8(self.background)
            return np.asarray(part - background if self.side > 0 else background - part)
        difference: Gray = np.abs(part - np.float32(self.background))
        if not self.noise:
            return difference
        stretch = self.strongest / (self.strongest - self.noise)
        return np.asarray(np.clip((difference - self.noise) * stretch, 0, 255), np.float32)

    def bounding_box(self, share: float) -> tuple[int, int, int, int]:
        """(first row, first column, height, width) of the pixels whose strength exceeds `share` of the strongest."""
        threshold = self.noise + share * (self.strongest - self.noise)
        low, high = self.background - threshold, self.background + threshold
        if self.levels.dtype == np.uint8:  # compare integers with integers: no conversion to float
            low, high = math.ceil(low), math.floor(high)
        rows, columns = (
            (self.side <= 0 and self.levels.min(axis) < low) | (self.side >= 0 and self.levels.max(axis) > high)
            for axis in (1, 0)
        )
        return _box_of_lines(np.asarray(rows), np.asarray(columns))


def measure_geometry(images: npt.NDArray[np.uint8]) -> ImageGeometry:
    """The geometry that most images have in common. images: uint8, shape (samples, height, width)."""
    nonempty = [image for image in images if image.any()]
    height, width = images.shape[1:]
    sides = np.array([max(_bounding_box(image > 0)[2:]) for image in nonempty] or [0])
    centers = np.array([_center_of_mass(image) for image in nonempty] or [((height - 1) / 2, (width - 1) / 2)])
    box = int(np.bincount(sides).argmax())
    center = np.round(np.median(centers, axis=0), 1)
    tolerance = max(1.0, float(np.ceil(np.quantile(np.abs(centers - center).max(axis=1), NEARLY_ALL))))
    is_common = np.mean(np.abs(sides - box) <= 1) >= AGREEMENT and 0 < box < max(height, width)
    position = float(center[0]), float(center[1])
    if is_common and tolerance <= max(1, MAX_TOLERANCE * box):
        return ImageGeometry(height, width, box, position, tolerance)
    return ImageGeometry(height, width, None, position)


def are_light_on_black(images: npt.NDArray[np.uint8]) -> bool:
    """Whether nearly all images show a light object on black, so that `find_foreground` does not change their pixels.

    images: uint8, shape (samples, height, width).
    """
    return float(np.mean([_is_light_on_black(image) for image in images])) >= AGREEMENT


def are_on_dark(images: npt.NDArray[np.uint8]) -> bool:
    """Whether most images have a dark background, that is, dark edges.

    images: uint8, shape (samples, height, width).
    """
    rows, columns = images[:, [0, -1], :], images[:, :, [0, -1]]
    return float(np.median(np.concatenate([rows.reshape(-1), columns.reshape(-1)]))) < 128


def _is_light_on_black(image: npt.NDArray[np.uint8]) -> bool:
    try:
        foreground = find_foreground(image)
    except ValueError:  # blank
        return False
    return foreground.background == foreground.noise == 0


def encode(content: bytes, geometry: ImageGeometry) -> npt.NDArray[np.uint8]:
    """Convert an encoded image of any size, color and polarity to a row of pixels, shape (height × width,).

    Raises:
        ValueError: the content is not an image, is too large, or is blank.
    """
    return normalize(find_foreground(read(content)), geometry).reshape(-1)


def letterbox(levels: Levels, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Scale an image to fit, center it, and pad it with the median of its corners; a row of height × width pixels."""
    if levels.shape != (height, width):
        factor = min(height / levels.shape[0], width / levels.shape[1])
        scaled = _resize(np.asarray(levels, np.float32), factor)[:height, :width]
        canvas = np.full((height, width), np.median(levels[[0, 0, -1, -1], [0, -1, 0, -1]]), np.float32)
        top, left = (height - scaled.shape[0]) // 2, (width - scaled.shape[1]) // 2
        canvas[top : top + scaled.shape[0], left : left + scaled.shape[1]] = scaled
        levels = canvas
    row: npt.NDArray[np.uint8] = np.clip(np.round(levels), 0, 255).astype(np.uint8).reshape(-1)
    return row


def find_foreground(levels: Levels) -> Foreground:
    """Separate the foreground from the background, which is estimated from the edge; either may be lighter.

    Raises:
        ValueError: the image is blank.
    """
    edge = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    background, noise = float(edge[0]), 0.0
    if (edge != edge[0]).any():
        background = float(np.median(edge.astype(np.float32)))
        noise = 6 * float(np.median(np.abs(edge - np.float32(background))))  # four standard deviations of camera noise
    lightest, darkest = float(levels.max()), float(levels.min())
    strongest = max(lightest - background, background - darkest)
    if strongest < max(MIN_CONTRAST, 2 * noise):
        raise ValueError("must show something: the image is blank")
    return Foreground(levels, background, noise, strongest, (lightest > background) - (darkest < background))


def normalize(foreground: Foreground, geometry: ImageGeometry) -> npt.NDArray[np.uint8]:
    """Scale and shift a foreground like the training images: uint8, shape (height, width), with a background of 0.

    An image that already has this geometry is returned bit for bit, except for its polarity.
    """
    height, width = foreground.levels.shape
    if (height, width) == (geometry.height, geometry.width) and _matches(full := foreground.strength(), geometry):
        return np.round(full).astype(np.uint8)
    if geometry.box is None:
        scaled = _resize(foreground.strength(), min(geometry.height / height, geometry.width / width))
        top, left = (geometry.height - scaled.shape[0]) // 2, (geometry.width - scaled.shape[1]) // 2
    else:
        row, column, box_height, box_width = foreground.bounding_box(BOX_THRESHOLD)
        part = foreground.strength(slice(row, row + box_height), slice(column, column + box_width))
        scaled = _resize(part, geometry.box / max(box_height, box_width))
        center = _center_of_mass(scaled)
        top, left = round(geometry.center[0] - center[0]), round(geometry.center[1] - center[1])
    return _paste(scaled * (255 / max(float(scaled.max()), 1e-6)), top, left, geometry)


def _matches(strength: Levels, geometry: ImageGeometry) -> bool:
    """Whether the box size and the center of mass agree with the geometry, within a pixel and within its tolerance."""
    if geometry.box is None:
        return True
    row, column = _center_of_mass(strength)
    distance = max(abs(row - geometry.center[0]), abs(column - geometry.center[1]))
    return distance <= geometry.tolerance and abs(max(_bounding_box(strength > 0)[2:]) - geometry.box) <= 1


def _resize(levels: Levels, factor: float) -> Gray:
    """Scale with antialiasing, to at least one pixel per side; uint8 takes less time than float32."""
    height, width = (max(1, round(side * factor)) for side in levels.shape)
    picture = Image.fromarray(np.ascontiguousarray(levels))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)


def _paste(scaled: Gray, top: int, left: int, geometry: ImageGeometry) -> npt.NDArray[np.uint8]:
    """Paste `scaled` onto a black canvas, and cut off what extends beyond it."""
    canvas = np.zeros((geometry.height, geometry.width), np.uint8)
    height, width = scaled.shape
    rows = slice(max(top, 0), min(top + height, geometry.height))
    columns = slice(max(left, 0), min(left + width, geometry.width))
    canvas[rows, columns] = np.round(
        scaled[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    ).astype(np.uint8)
    return canvas


def _bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(first row, first column, height, width) of the True pixels."""
    return _box_of_lines(np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0)))


def _box_of_lines(rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The bounding box of the foreground, from flags for the rows and columns that contain any of it."""
    top, left = int(rows.argmax()), int(columns.argmax())
    return top, left, len(rows) - int(rows[::-1].argmax()) - top, len(columns) - int(columns[::-1].argmax()) - left


def _center_of_mass(levels: npt.NDArray[np.generic]) -> tuple[float, float]:
    """The center of mass, (row, column)."""
    rows, columns = (levels.sum(axis, np.float64) for axis in (1, 0))
    total = max(float(rows.sum()), math.ulp(0.0))
    return float(rows @ np.arange(len(rows))) / total, float(columns @ np.arange(len(columns))) / total
