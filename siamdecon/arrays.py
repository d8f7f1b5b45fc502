"""NumPy arrays at the public face, tensors (n, c, [z,] y, x) inside."""

import numpy as np
import torch
from torch import Tensor

from siamdecon.hardware import pick_device


def to_tensor(image: np.ndarray, device: str | torch.device | None = None) -> Tensor:
    """Copy an image ([z,] y, x) to a float32 tensor (1, 1, [z,] y, x) on a device.

    Examples
    --------
    >>> to_tensor(np.eye(3)[::-1], "cpu").shape
    torch.Size([1, 1, 3, 3])
    """
    # a copy: torch takes neither the negative strides of a flipped view nor read-only memory
    return torch.from_numpy(np.array(image, dtype=np.float32))[None, None].to(pick_device(device))


def channels_last(n_dim: int) -> torch.memory_format:
    """Return the memory layout in which convolutions over 2 or 3 axes are fast: a pixel's features together.

    Examples
    --------
    >>> channels_last(2)
    torch.channels_last
    """
    return torch.channels_last if n_dim == 2 else torch.channels_last_3d


def to_array(x: Tensor, clip: bool = False) -> np.ndarray:
    """Copy a tensor (1, 1, [z,] y, x) to an image ([z,] y, x), cut to [0, 1] on request.

    Examples
    --------
    >>> to_array(torch.full((1, 1, 1, 2), 3.0), clip=True)
    array([[1., 1.]], dtype=float32)
    """
    x = x.detach()[0, 0]
    return (x.clamp(0, 1) if clip else x.clone()).cpu().numpy()
