"""Draw docs/real-grid.png: a measured line grid, restored with a kernel from measured beads.

`python docs/real_grid.py BEADS.tif GRID.tif`, with `Bead_Image1_crop.tif` and
`DeconvolutionSampleVerticalGrid1AU-crop.tif` of the BioImage Analysis Notebooks (CC BY 4.0; images:
B. Nitzsche and R. Haase, MPI-CBG), https://github.com/haesleinhuepf/BioImageAnalysisNotebooks. The files are
not part of this project.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from siamdecon import compare, psf_from_beads, read_image

METHODS = ("richardson_lucy", "total_variation", "self_scale")


def main(beads: str, grid: str) -> None:
    """Restore, print the table and the residuals, and draw the middle plane."""
    kernel = psf_from_beads(read_image(beads))
    print(kernel)
    # its voxels are 2 % larger than the grid's, within what a kernel may differ by
    image = read_image(grid)
    found = compare(image, kernel.psf, METHODS, progress=False)
    print(found)
    middle = image.shape[0] // 2
    _, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
    axes[1, 0].axis("off")
    panels = [("measured", image.data), *found.images.items()]
    for axis, (name, stack) in zip(axes[0], panels, strict=True):
        axis.imshow(stack[middle], cmap="gray", vmin=0, vmax=np.percentile(stack[middle], 99.8))
        axis.set_title(name, fontsize=10)
    for axis, (name, stack) in zip(axes[1, 1:], found.residuals.items(), strict=True):
        axis.imshow(stack[middle], cmap="gray", vmin=-1.5, vmax=1.5)
        print(f"{name}: residual's standard deviation {stack.std():.3f}, mean {stack.mean():.3f}")
        axis.set_title(f"residual, deviation {stack.std():.2f}", fontsize=10)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    plt.savefig(Path(__file__).with_name("real-grid.png"), dpi=90)


if __name__ == "__main__":
    main(*sys.argv[1:])
