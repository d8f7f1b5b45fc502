"""What the network sees in a training step: random patches, turned and mirrored, and their masks."""

import itertools

import torch
from torch import Tensor


def random_patches(
    image: Tensor, patch_size: int, batch_size: int, generator: torch.Generator
) -> Tensor:
    """Cut random patches out of an image, rotate each by 90 degrees and mirror it at random.

    Parameters
    ----------
    image : Tensor, shape ([z,] y, x)
    patch_size : int
        Side of the patch along every axis, at most the image's shortest.
    batch_size : int
        Number of patches.
    generator : torch.Generator
        Source of randomness, on the CPU.

    Returns
    -------
    patches : Tensor, shape (batch_size, 1, [patch_size,] patch_size, patch_size)

    Raises
    ------
    ValueError
        If the image is smaller than a patch along any axis.

    Examples
    --------
    Introduced in notebook 04.

    >>> random_patches(torch.rand(40, 50), 32, 4, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 1, 32, 32])
    """
    if min(image.shape) < patch_size:
        raise ValueError(
            f"patch_size: expected at most the image's shortest side, {min(image.shape)}, got "
            f"{patch_size} for an image of shape {tuple(image.shape)}"
        )
    axes = range(image.ndim)
    patches = []
    for _ in range(batch_size):
        corner = [_integer(m - patch_size + 1, generator) for m in image.shape]
        patch = image[tuple(slice(c, c + patch_size) for c in corner)]
        plane = list(itertools.combinations(axes, 2))[
            _integer(len(axes) * (len(axes) - 1) // 2, generator)
        ]
        patch = patch.rot90(_integer(4, generator), plane)
        patch = patch.flip([axis for axis in axes if _integer(2, generator)])
        patches.append(patch)
    return torch.stack(patches)[:, None]


def stratified_mask(shape: tuple[int, ...], percent: float, generator: torch.Generator) -> Tensor:
    r"""Choose the pixels J to hide: one at a random place in each box of a regular grid.

    The box has side round((100 / percent)^(1 / d)): 14 in 2D, 6 in 3D for the paper's 0.5 %. Boxes cut
    by the border may go without.

    Parameters
    ----------
    shape : tuple
        (n, 1, [z,] y, x)
    percent : float
        Share of pixels to choose, above 0, at most 100.
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
    if not 0 < percent <= 100:
        raise ValueError(f"percent: expected a share above 0 and up to 100, got {percent}")
    n, spatial = shape[0], shape[2:]
    side = max(1, round((100 / percent) ** (1 / len(spatial))))
    boxes = [-(-m // side) for m in spatial]
    place = torch.randint(side, (len(boxes), n, *boxes), generator=generator)
    grids = torch.meshgrid(*(torch.arange(b) * side for b in boxes), indexing="ij")
    where = [grid + offset for grid, offset in zip(grids, place, strict=True)]  # (n, boxes...) each
    inside = torch.stack([w < m for w, m in zip(where, spatial, strict=True)]).all(dim=0)
    sample = torch.arange(n).view(n, *[1] * len(boxes)).expand(n, *boxes)
    mask = torch.zeros(n, *spatial, dtype=torch.bool)
    mask[(sample[inside], *(w[inside] for w in where))] = True
    return mask[:, None]


def _integer(high: int, generator: torch.Generator) -> int:
    return int(torch.randint(high, (), generator=generator))
