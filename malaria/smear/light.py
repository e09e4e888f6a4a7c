"""The light in a photograph of a smear: where it falls, and how much of it each pixel absorbs."""

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from malaria.data.decode import Pixels

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LIT = 0.25  # of the light of the brightest twentieth: what is darker than that lies outside of the field
DARKEST = 25  # of 255: a photograph whose brightest twentieth is darker than this shows nothing
READ_NOISE = 4  # grey levels added before the logarithm, so that noise in the dark stays small


def find_field(pixels: Pixels) -> Mask:
    """The field of view (H, W) of a photograph (H, W, 3): its largest lit area, holes filled; empty if all is dark.

    It is the whole frame, or a round field on black where a camera looks through an eyepiece.
    """
    brightness = pixels.max(-1)
    brightest = np.percentile(brightness, 95)
    if brightest < DARKEST:
        return np.zeros(brightness.shape, bool)
    areas, _ = ndimage.label(ndimage.binary_opening(np.pad(brightness > LIT * brightest, 3, mode="edge"), iterations=2))
    largest = np.bincount(areas.ravel())[1:].argmax() + 1
    field: Mask = ndimage.binary_fill_holes(areas == largest)[3:-3, 3:-3]
    return field


def optical_density(pixels: Pixels, field: Mask, diameter: float) -> Floats:
    """The optical density (H, W) of what lies on the slide, in green, where haemoglobin and eosin absorb most.

    The background is what is brightest within 1.5 cell diameters (px), smoothed, so that uneven light cancels out.
    Outside of the field the density is 0.
    """
    green = np.where(field, pixels[..., 1], 0)
    step = max(1, int(diameter / 6))
    coarse = ndimage.median_filter(green[::step, ::step], 3).astype(np.float32)
    reach = int(3 * diameter / step) | 1
    background = ndimage.gaussian_filter(ndimage.maximum_filter(coarse, reach), reach / 2)
    size = green.shape[1], green.shape[0]
    background = np.asarray(Image.fromarray(background).resize(size, Image.Resampling.BILINEAR))
    density = np.log((background + READ_NOISE) / (green.astype(np.float32) + READ_NOISE)).clip(0)
    return np.where(field, density, np.float32(0))
