"""Pixels in and out: images, TIFF, images that stay on disk, the samples."""

from siamdecon.files.images import Image, read_image, write_image
from siamdecon.files.phantoms import filaments, membranes, microtubules, nuclei, vesicles
from siamdecon.files.samples import (
    load_benchmark,
    load_real,
    load_sample,
    load_volume,
    real_names,
    sample_names,
)
