"""Restore a measured grid with a kernel from measured beads: draws real-grid.png and prints its numbers.

    python docs/real_grid.py Bead_Image1_crop.tif DeconvolutionSampleVerticalGrid1AU-crop.tif

Both files are in the folder data/ of https://github.com/haesleinhuepf/BioImageAnalysisNotebooks, CC BY 4.0;
images by B. Nitzsche and R. Haase, MPI-CBG. They are not part of this package.
"""

import argparse
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from matplotlib.gridspec import GridSpec
from scipy.ndimage import convolve

from siamdecon import Restoration, deconvolve, psf_from_beads, read_image
from siamdecon.microscope.degradation import blur

#: Methods, their options, and their names in the figure.
RUNS = {
    "Lucy-Richardson": ("richardson_lucy", {}),
    "total variation": ("total_variation", {}),
    "own coarser scales": ("self_scale", {"steps": 60}),
}
#: The second difference along both axes of a plane: blurred light has next to none of it.
FINEST = np.outer([1, -2, 1], [1, -2, 1]) / 6


def noise_of(stack: np.ndarray, where: np.ndarray) -> float:
    """Return the standard deviation of the noise by the finest detail, whatever the restoration."""
    detail = np.stack([convolve(plane, FINEST, mode="mirror") for plane in stack])
    return float(np.sqrt(np.mean(detail[where] ** 2)))


def draw(path: Path, measured: np.ndarray, restored: dict[str, Restoration], noise: float) -> None:
    """Draw a plane and a section along z of each stack, and the residual of the plane."""
    z, y = len(measured) // 2, measured.shape[1] // 2
    figure = plt.figure(figsize=(10, 6.8), dpi=90, layout="constrained")
    grid = GridSpec(3, 4, figure, height_ratios=[1, 0.8, 1])
    names = ["measured", *restored]
    for column, name in enumerate(names):
        stack = measured if name == "measured" else restored[name].image
        for row, shown in enumerate((stack[z], stack[:, y])):
            axes = figure.add_subplot(grid[row, column])
            high = np.quantile(stack, 0.999)
            # planes lie 125 nm apart, pixels 22 nm
            axes.imshow(shown, "gray", vmin=1, vmax=high, aspect=5.7 if row else 1)
            axes.set_xticks([]), axes.set_yticks([])
            if row == 0:
                axes.set_title(name)
            if column == 0:
                axes.set_ylabel(("one plane", "section along z")[row])
        axes = figure.add_subplot(grid[2, column])
        axes.set_xticks([]), axes.set_yticks([])
        if name == "measured":
            axes.axis("off")
            words = "residual: measured minus\nblurred restoration,\nblack -1.5, white 1.5 counts"
            words += f"\n\ndeviation of the noise:\n{noise:.3f} counts"
            axes.text(0.5, 0.5, words, ha="center", va="center")
        else:
            residual = restored[name].residual
            axes.imshow(residual[z], "gray", vmin=-1.5, vmax=1.5)
            axes.set_xlabel(f"deviation {residual.std():.3f} counts")
    drawn = BytesIO()
    figure.savefig(drawn)
    # 32 greys: noise is hard to compress
    PIL.Image.open(drawn).convert("L").quantize(32).save(path, optimize=True)


def main() -> None:
    """Measure the kernel, restore the grid by each method, print what is left and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("beads", type=Path)
    parser.add_argument("grid", type=Path)
    default = Path(__file__).with_name("real-grid.png")
    parser.add_argument("-o", "--output", type=Path, default=default)
    args = parser.parse_args()
    kernel = psf_from_beads(read_image(args.beads))
    print(f"kernel: {kernel}")
    grid = read_image(args.grid)
    measured = grid.data.astype(np.float64)
    restored = {
        name: deconvolve(grid, kernel.psf, method, progress=False, **options)
        for name, (method, options) in RUNS.items()
    }
    everywhere = np.ones(measured.shape, bool)
    smooth = blur(measured, kernel.psf)
    bright = smooth > np.quantile(smooth, 0.9)
    noise = noise_of(measured, everywhere)
    print(f"noise {noise:.3f} counts, in the brightest tenth {noise_of(measured, bright):.3f}")
    for name, result in restored.items():
        residual, kept = result.residual, result.image.sum() / measured.sum()
        print(
            f"{name}: residual {residual.std():.3f}, in the brightest tenth {residual[bright].std():.3f}, "
            f"mean {residual.mean():+.4f}; light kept {kept:.1%}, brightest {result.image.max():.1f}"
        )
    draw(args.output, measured, restored, noise)


if __name__ == "__main__":
    main()
