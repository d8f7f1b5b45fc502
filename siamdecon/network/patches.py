"""The input of a training step: random patches, rotated and mirrored, and their blind-spot masks."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siamdecon.expect import expect


@dataclass(frozen=True)
class Symmetry:
    """A rotation by multiples of 90 degrees or a reflection: a permutation of the axes, then flips.

    Parameters
    ----------
    order : tuple of int
        The image's spatial axes in their new order.
    flips : tuple of int
        The new axes that are reversed.

    Examples
    --------
    >>> quarter_turn = Symmetry(order=(1, 0), flips=(0,))
    >>> x = torch.arange(6).view(2, 3)
    >>> quarter_turn(x).tolist(), bool((quarter_turn.undo(quarter_turn(x)) == x).all())
    ([[2, 5], [1, 4], [0, 3]], True)
    """

    order: tuple[int, ...]
    flips: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to `x`, shape (..., [z,] y, x)."""
        n = len(self.order)
        x = x.movedim([axis - n for axis in self.order], tuple(range(-n, 0)))
        return x.flip([axis - n for axis in self.flips])

    def undo(self, x: Tensor) -> Tensor:
        """Apply the inverse."""
        n = len(self.order)
        x = x.flip([axis - n for axis in self.flips])
        return x.movedim(tuple(range(-n, 0)), [axis - n for axis in self.order])


def symmetries(psf: np.ndarray, voxel_size: Sequence | None = None) -> list[Symmetry]:
    """Find the rotations and reflections that leave a kernel unchanged.

    Only these may be applied to a patch in training or to an image at inference: after any other, the
    blur would not be the microscope's. A ring has all 8 of the plane; a stack that differs above and
    below the focus, or is coarser along z, lacks those that exchange them.

    Parameters
    ----------
    psf : ndarray, shape ([z,] y, x)
    voxel_size : tuple of (float or None), optional
        um along each axis. Axes of different voxel sizes are never exchanged: a structure has more pixels
        along one of them. Unknown sizes count as equal.

    Returns
    -------
    list of Symmetry
        The identity first.

    Examples
    --------
    >>> len(symmetries(np.ones((3, 3)))), len(symmetries(np.ones((1, 3)))), len(symmetries(np.eye(3)))
    (8, 4, 4)
    >>> len(symmetries(np.ones((3, 3, 3)))), len(symmetries(np.ones((3, 3, 3)), (0.5, 0.1, 0.1)))
    (48, 16)
    """
    psf = torch.from_numpy(np.array(psf, dtype=np.float64))
    tolerance = 1e-3 * float(psf.max())
    # a flip along an axis of even length would shift the image by a pixel
    odd = [axis for axis in range(psf.ndim) if psf.shape[axis] % 2]
    flips = [f for n in range(len(odd) + 1) for f in itertools.combinations(odd, n)]
    sizes = voxel_size or (None,) * psf.ndim

    def holds(symmetry: Symmetry) -> bool:
        turned = symmetry(psf)
        pairs = ((sizes[i], sizes[j]) for i, j in enumerate(symmetry.order))
        if turned.shape != psf.shape or any(a and b and abs(a / b - 1) > 0.01 for a, b in pairs):
            return False
        return torch.allclose(turned, psf, rtol=0, atol=tolerance)

    every = itertools.product(itertools.permutations(range(psf.ndim)), flips)
    return [symmetry for symmetry in itertools.starmap(Symmetry, every) if holds(symmetry)]


def random_patches(
    image: Tensor, patch_size, batch_size: int, generator: torch.Generator, turns=(), n_dim=None
) -> Tensor:
    """Cut random patches out of an image, and rotate or reflect each at random.

    Parameters
    ----------
    image : Tensor, shape ([z,] y, x), or (c, [z,] y, x) if `n_dim` says so
    patch_size : int or sequence of int
        Side of a patch, for all axes or each; along an axis that is shorter, as z often is, a patch
        covers all of it.
    batch_size : int
        Number of patches.
    generator : torch.Generator
        Source of randomness, on the CPU.
    turns : sequence of Symmetry
        Symmetries to draw from with equal probability (those that change a patch's shape are ignored);
        see `symmetries`. If there are none, patches are not turned.
    n_dim : int, optional
        2 or 3, the number of spatial axes of an image with channels. Unless given, it has no channels.

    Returns
    -------
    patches : Tensor, shape (batch_size, 1 or c, [z,] y, x), each side `patch_size` or the image's

    Examples
    --------
    Introduced in notebook 04.

    >>> random_patches(torch.rand(12, 40, 50), 32, 4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 12, 32, 32])
    """
    size = image.shape[-n_dim:] if n_dim else image.shape
    sides = [patch_size] * len(size) if np.ndim(patch_size) == 0 else patch_size
    shape = tuple(min(side, m) for side, m in zip(sides, size, strict=True))
    turns = [turn for turn in turns if tuple(shape[axis] for axis in turn.order) == shape]
    patches = []
    for _ in range(batch_size):
        corner = [_integer(m - n + 1, generator) for m, n in zip(size, shape, strict=True)]
        where = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
        patch = image[(..., *where) if n_dim else where]  # ([c,] [z,] y, x)
        patches.append(turns[_integer(len(turns), generator)](patch) if turns else patch)
    return torch.stack(patches) if n_dim else torch.stack(patches)[:, None]


def stratified_mask(shape: tuple[int, ...], percent: float, generator: torch.Generator) -> Tensor:
    r"""Choose the pixels J to hide: one at a random position in each box of a regular grid.

    The box has side round((100 / percent)^(1 / d)): 14 in 2D, 6 in 3D for the paper's 0.5 %. Boxes cut
    by the border may have none.

    Parameters
    ----------
    shape : tuple
        (n, 1, [z,] y, x)
    percent : float
        Percentage of pixels to choose, above 0, at most 25: boxes of 2 pixels a side, as those of 1 would
        leave none.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    mask : Tensor of bool, shape as asked; True at J

    Raises
    ------
    ValueError
        If the percentage is out of range.

    Examples
    --------
    Introduced in notebook 04.

    >>> mask = stratified_mask((1, 1, 28, 28), 0.5, torch.Generator().manual_seed(0))
    >>> int(mask.sum()), int(mask[..., :14, :14].sum())
    (4, 1)
    """
    expect(0 < percent <= 25, "percent", "a share above 0 and up to 25", percent)
    n, _, *spatial = shape
    side = round((100 / percent) ** (1 / len(spatial)))
    boxes = [-(-m // side) for m in spatial]
    place = torch.randint(side, (len(boxes), n, *boxes), generator=generator)
    grids = torch.meshgrid(*(torch.arange(b) * side for b in boxes), indexing="ij")
    where = [grid + offset for grid, offset in zip(grids, place, strict=True)]  # (n, boxes...) each
    sample = torch.arange(n).view(n, *[1] * len(boxes))
    mask = torch.zeros(n, *(b * side for b in boxes), dtype=torch.bool)
    mask[(sample, *where)] = True
    return mask[(slice(None), None, *(slice(m) for m in spatial))].contiguous()


def _integer(high: int, generator: torch.Generator) -> int:
    return int(torch.randint(high, (), generator=generator))
