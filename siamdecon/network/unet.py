"""The trainable model f: a residual U-Net, in 2D and 3D."""

import copy
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from siamdecon.expect import Words, expect, expect_counts
from siamdecon.hardware import channels_last

CONV_TRANSPOSE = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_FAR = 2048  # pixels; no network of convolutions needs more of them to show how far it looks
_FEW = 20480  # features times planes times rows; a single volume of no more is not given to oneDNN
_seeding = threading.Lock()


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` that computes a small volume which is alone in its batch as a batch of its two halves.

    On a CPU in float32, torch unfolds such a volume (3 x 3 x 3 copies of it) where it gives a batch of two to
    oneDNN. For 16 features of 32^3 voxels, a part of a batch of the lab tier, that takes 12 times as long.

    Examples
    --------
    >>> conv = seeded(0, Conv3d, 2, 2, 3, padding=1)
    >>> x = torch.rand(1, 2, 8, 6, 6)
    >>> torch.allclose(conv(x), nn.Conv3d.forward(conv, x), atol=1e-6)
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, z, y, x) to (n, c_out, z, y, x)."""
        alone = x.ndim == 5 and len(x) == 1 and x[..., 0].numel() <= _FEW and x.shape[2] % 2 == 0
        unfolded = x.is_cpu and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        same = self.kernel_size == (3, 3, 3) and self.stride == self.padding == (1, 1, 1)
        if not (alone and unfolded and same):
            return super().forward(x)
        half = x.shape[2] // 2
        # the two planes of the seam belong to both halves
        upper, seam, lower = x.split([half - 1, 2, half - 1], dim=2)
        beyond = torch.zeros_like(seam[:, :, :1])
        halves = [torch.cat(part, dim=2) for part in ((beyond, upper, seam), (seam, lower, beyond))]
        y = torch.cat(halves)  # (2, c_in, z / 2 + 2, y, x)
        y = nn.functional.conv3d(y, self.weight, self.bias, padding=(0, *self.padding[1:]))
        # copied, as views would not keep the memory format in the gradient
        return torch.cat(y.split(1), dim=2)


CONV = {2: nn.Conv2d, 3: Conv3d}


class _Renormalisation(torch.autograd.Function):
    """What `_Renormalised` does; composed of torch's own layers, it would read each image once more."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, layer: nn.Module) -> Tensor:
        """Return (x - mu) / sigma * weight + bias, which is what the equation comes to."""
        mean, variance = layer.statistics(x)  # (c,) each
        ctx.seen = layer.num_batches_tracked + 1  # all passes of a step are one batch
        share = (1 / ctx.seen.to(mean.dtype)).clamp(min=layer.momentum)
        running = layer.running_mean.lerp(mean, share), layer.running_var.lerp(variance, share)
        ctx.save_for_backward(x, weight, mean, variance, *running)
        ctx.layer = layer
        return nn.functional.batch_norm(x, *running, weight, bias, training=False, eps=layer.eps)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        """Return the gradients by x, weight and bias: r and d scale those of batch normalisation."""
        x, weight, mean, variance, *running = ctx.saved_tensors
        eps, scale = ctx.layer.eps, torch.rsqrt(running[1] + ctx.layer.eps)
        unit = torch.rsqrt(variance + eps)
        r, d = scale / unit, (mean - running[0]) * scale
        how = (weight * r, None, None, mean, unit, True, eps, [True] * 3)
        to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(gradient, x, *how)
        ctx.layer.keep(*running, ctx.seen)
        return to_x, r * to_weight + d * to_bias, to_bias, None


class _Renormalised:
    """Batch renormalisation (Ioffe 2017, arXiv:1702.03275): running statistics normalise in training, too.

    With the batch's mean mu_B and standard deviation sigma_B, and the running mu and sigma,

        y = ((x - mu_B) / sigma_B * r + d) * weight + bias,  r = sigma_B / sigma,  d = (mu_B - mu) / sigma,

    where no gradient flows through r and d. The running statistics contain the batch's; their memory starts
    short and grows. A pass leaves them behind when its gradient comes back, so that all passes of a step
    start from the same: other statistics would make other images of them, which the losses compare.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n, c, [z,] y, x)."""
        if not self.training or self.momentum is None:  # `update_bn` measures with batches alone
            return super().forward(x)
        return _Renormalisation.apply(x, self.weight, self.bias, self)

    def keep(self, mean: Tensor, variance: Tensor, seen: Tensor) -> None:
        """Take up running statistics, (c,) each, of a number of batches."""
        self.running_mean.copy_(mean), self.running_var.copy_(variance)
        self.num_batches_tracked.copy_(seen)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each feature of (n, c, [z,] y, x), (c,) each."""
        # a momentum of 0 updates nothing; on a CPU `torch.var_mean` takes 15 times as long
        if x.is_cpu:
            return torch.batch_norm_update_stats(x, self.running_mean, self.running_var, 0)
        return torch.var_mean(x.float(), (0, *range(2, x.ndim)), correction=0)[::-1]


class BatchRenorm2d(_Renormalised, nn.BatchNorm2d):
    """Batch renormalisation of (n, c, y, x)."""


class BatchRenorm3d(_Renormalised, nn.BatchNorm3d):
    """Batch renormalisation of (n, c, z, y, x)."""


#: By whether the statistics are running ones in training, too.
BATCH_NORM = {
    False: {2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    True: {2: BatchRenorm2d, 3: BatchRenorm3d},
}


class ResidualBlock(nn.Module):
    """Pre-activation residual block: BN-ReLU-conv-BN-ReLU-conv, added to a shortcut.

    The shortcut is the identity, or a 1 x 1 convolution if the numbers of features differ.

    Parameters
    ----------
    n_dim : int
        2 or 3.
    c_in, c_out : int
        Number of input and output features.
    norm : callable
        Makes the normalisation of a number of features.

    Examples
    --------
    >>> ResidualBlock(2, 4, 8, nn.BatchNorm2d)(torch.zeros(1, 4, 6, 6)).shape
    torch.Size([1, 8, 6, 6])
    """

    def __init__(self, n_dim: int, c_in: int, c_out: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        conv = CONV[n_dim]
        self.shortcut = nn.Identity() if c_in == c_out else conv(c_in, c_out, 1, bias=False)
        first = norm(c_in), nn.ReLU(), conv(c_in, c_out, 3, padding=1, bias=False)
        second = norm(c_out), nn.ReLU(), conv(c_out, c_out, 3, padding=1)
        self.residual = nn.Sequential(*first, *second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, [z,] y, x) to (n, c_out, [z,] y, x)."""
        return self.shortcut(x) + self.residual(x)


@torch.inference_mode(False)  # gradients are needed even if the caller has disabled them
def receptive_field(model: nn.Module, n_dim: int, stride: int = 4) -> int:
    """Measure the radius of a network's receptive field in pixels.

    It is found from gradients, in a copy of the network with positive weights, in which they do not
    cancel, and a positive input, for which no ReLU blocks them.

    Parameters
    ----------
    model : nn.Module
        Maps (n, 1, [z,] y, x) to the same shape.
    n_dim : int
        2 or 3.
    stride : int
        Outputs this many pixels apart have fields of equal radius; the largest radius along any axis is
        returned.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it looks at the whole image, as one with global pooling does, or if its output does not move with
        its input by `stride` pixels, as that of one which halves the image does not by 1.

    Examples
    --------
    >>> receptive_field(nn.Conv2d(1, 1, (1, 5), padding=(0, 2)), n_dim=2)
    2
    >>> receptive_field(UNet(n_dim=2, features=2), n_dim=2)
    24
    """
    twin = copy.deepcopy(model).to("cpu", torch.float64).eval()
    for module in twin.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.reset_parameters()
        elif getattr(module, "weight", None) is not None:
            nn.init.ones_(module.weight)
    side, reach = 16 * stride, 0
    for axis in range(2, n_dim + 2):
        while True:
            places = range(side // 2, side // 2 + stride + 1)
            fields = _fields(twin, n_dim, stride, axis, side, places)
            for place, field in zip(places, fields, strict=True):
                seen = field.nonzero()
                # such weights saturate a sigmoid
                expect(len(seen), "stitch", "'blend' for a network whose gradients vanish", "exact")
                reach = max(reach, place - int(seen.min()), int(seen.max()) - place)
            if reach < side // 2 - stride:
                break
            sees = "'blend' for a network that looks at the whole image"
            expect(side < _FAR, "stitch", sees, "exact")
            side *= 2
        first, last = fields[0], fields[-1].roll(-stride)
        moves = torch.allclose(last, first, rtol=1e-6, atol=1e-9 * float(first.max()))
        sees = f"'blend' for a network that does not move with its input by {stride} pixels"
        mend = "if it halves an image n times, set its attribute `stride` to 2 ** n"
        expect(moves, "stitch", sees, "exact", mend)
    return reach


def _fields(twin: nn.Module, n_dim: int, stride: int, axis: int, side: int, places) -> list[Tensor]:
    """Return what outputs at some places along an axis see of each place along it, (side,) each."""
    narrow = stride * max(2, -(-8 // stride))  # two blocks, and 8 pixels or more
    shape = [1, 1, *[narrow] * n_dim]
    shape[axis] = side
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    y = twin(x)
    seen = (y.select(axis, place).sum() for place in places)
    gradients = (torch.autograd.grad(output, x, retain_graph=True)[0] for output in seen)
    return [gradient.abs().transpose(0, axis).flatten(1).sum(dim=1) for gradient in gradients]


class UNet(nn.Module):
    """The network f of the paper's Figure 1, from the noisy to the deconvolved image.

    An encoder halves the image `depth` - 1 times with strided 2 x 2 convolutions and doubles the
    features each time; a decoder upsamples with transposed convolutions, with skip connections from the
    encoder: concatenated in 2D, added in 3D (Section 2, "Neural network architecture"). With its defaults
    it has 5.56 M parameters in 2D. (The paper counts 5.75 M: its code has 0.19 M in 1 x 1 shortcuts that
    are never used.)

    Parameters
    ----------
    n_dim : int
        2 or 3.
    features : int, optional
        Features of the first convolution; the paper's 96 in 2D and 48 in 3D unless given.
    depth : int
        Number of resolution levels.
    momentum : float
        Momentum of the batch normalisation.
    channels : int
        Number of input channels; the paper's network has one.
    batch_norm : bool
        The paper's network has batch normalisation.
    renorm : bool
        Normalise by the running statistics in training, too (`BatchRenorm2d`), for batches of few patches.
    concatenate : bool, optional
        Concatenate the skip connections instead of adding them; as the paper does in 2D and 3D unless given.
    fold : int
        Pixels along each axis that the first layer takes together and the last one gives back; the paper's
        network has 1. With 2, all layers have a quarter of the pixels in 2D.

    Raises
    ------
    ValueError
        If the number of dimensions is not 2 or 3, or that of features or levels not 1 or more; or if an
        input has another shape than (n, channels, [z,] y, x), or is too small to be normalised in training.

    Examples
    --------
    Introduced in notebook 04. The input may have any size; the output has the same.

    >>> UNet(n_dim=2, features=4)(torch.zeros(1, 1, 30, 37)).shape
    torch.Size([1, 1, 30, 37])
    """

    def __init__(
        self,
        n_dim=2,
        features: int | None = None,
        depth=3,
        momentum=0.003,
        channels=1,
        batch_norm=True,
        concatenate: bool | None = None,
        fold=1,
        renorm=False,
    ):
        super().__init__()
        expect(n_dim in (2, 3), "n_dim", "2 or 3", n_dim)
        features = {2: 96, 3: 48}[n_dim] if features is None else features
        expect_counts(features=features, depth=depth, fold=fold)
        self.n_dim, self.channels, self.stride = n_dim, channels, fold * 2 ** (depth - 1)
        self.batch_norm = batch_norm
        conv, up = CONV[n_dim], CONV_TRANSPOSE[n_dim]
        norm = partial(BATCH_NORM[renorm][n_dim], momentum=momentum) if batch_norm else nn.Identity
        block = partial(ResidualBlock, n_dim, norm=norm)
        *upper, lowest = (features * 2**level for level in range(depth))
        self.concatenate = n_dim == 2 if concatenate is None else concatenate
        joined = 2 if self.concatenate else 1
        whole = fold == 1
        ends = {"kernel_size": 3, "padding": 1} if whole else {"kernel_size": fold, "stride": fold}
        self.first = conv(channels, features, **ends)
        self.encoder = nn.ModuleList(block(c, c) for c in (*upper, lowest))
        self.down = nn.ModuleList(conv(c, 2 * c, kernel_size=2, stride=2) for c in upper)
        self.up = nn.ModuleList(up(2 * c, c, kernel_size=2, stride=2) for c in upper)
        self.decoder = nn.ModuleList(block(joined * c, c) for c in upper)
        output = (conv if whole else up)(features, 1, fold, stride=fold, bias=False)
        self.head = nn.Sequential(norm(features), nn.ReLU(), output)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, [z,] y, x) to (n, 1, [z,] y, x)."""
        good = x.ndim == self.n_dim + 2 and x.shape[1] == self.channels
        shape = f"(n, {self.channels}, {'y, x' if self.n_dim == 2 else 'z, y, x'})"
        expect(good, "x", f"a tensor of shape {shape}", tuple(x.shape))
        size, skips = x.shape[2:], []
        with sound_precision(x, self.stride):
            x = self.first(whole_strides(x, self.stride))  # (n, features, [z,] y, x)
            for block, down in zip(self.encoder, self.down, strict=False):
                skips.append(block(x))  # (n, c, [z,] y, x)
                x = down(skips[-1])  # (n, 2c, [z / 2,] y / 2, x / 2)
            lone = self.training and self.batch_norm and x[:, 0].numel() == 1
            pixels = "more than one pixel on the lowest level, to normalise by"
            mend = "take larger patches, more of them for each part of a batch, or a smaller depth"
            expect(not lone, "x", pixels, Words(f"one patch of {tuple(size)}"), mend)
            x = self.encoder[-1](x)
            for up, block in zip(reversed(self.up), reversed(self.decoder), strict=True):
                x, skip = up(x), skips.pop()  # (n, c, [z,] y, x) each
                x = block(torch.cat((x, skip), dim=1) if self.concatenate else x + skip)
            return cropped(unreduced(self.head, x), size)  # (n, 1, [z,] y, x)


def whole_strides(x: Tensor, stride: int) -> Tensor:
    """Continue (n, c, [z,] y, x) at its ends to multiples of a stride, by the last pixels.

    Examples
    --------
    >>> whole_strides(torch.zeros(1, 1, 30, 37), 4).shape
    torch.Size([1, 1, 32, 40])
    """
    fill = [w for m in reversed(x.shape[2:]) for w in (0, -m % stride)]
    return nn.functional.pad(x, fill, mode="replicate") if any(fill) else x


def cropped(x: Tensor, size: tuple[int, ...], first: int = 0) -> Tensor:
    """Cut a part of some size out of (n, c, [z,] y, x), which begins at the same index along each axis."""
    return x[(..., *(slice(first, first + m) for m in size))]


def compute(network: nn.Module, x: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return what a network makes of (n, c, [z,] y, x), in float32; None computes all of it so.

    Raises
    ------
    ValueError
        If that is not of shape (n, 1, [z,] y, x).

    Examples
    --------
    >>> compute(nn.Conv2d(3, 1, 1), torch.zeros(2, 3, 8, 9), torch.bfloat16).dtype
    torch.float32
    """
    # a caller's autocast around this one would keep the weights' copies from step to step
    how = {"enabled": dtype is not None, "cache_enabled": False}
    with torch.autocast(x.device.type, dtype, **how):
        y = network(x.contiguous(memory_format=channels_last(x.ndim - 2))).float()
    # other shapes would be broadcast, or cut
    shape = (len(x), 1, *x.shape[2:])
    mend = "if it takes whole multiples of a side only, set its attribute `stride` to that"
    expect(y.shape == shape, "model", f"an output of shape {shape}", tuple(y.shape), mend)
    return y


def unreduced(head: nn.Module, x: Tensor) -> Tensor:
    """Apply a network's last layer in its own precision: bfloat16 has 8 bits, too few for an estimate.

    Examples
    --------
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     unreduced(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    with torch.autocast(x.device.type, enabled=False):
        return head(x.to(next(head.parameters()).dtype))


def sound_precision(x: Tensor, stride: int) -> AbstractContextManager:
    """Return the context to compute in: float32 on a CPU where a volume has one plane on the lowest level.

    There 3D convolutions in bfloat16 give NaN on CPUs with AMX (pytorch#163347).

    Parameters
    ----------
    x : Tensor, shape (n, c, [z,] y, x)
    stride : int
        How many planes become one on the lowest level.

    Examples
    --------
    >>> with torch.autocast("cpu", torch.bfloat16), sound_precision(torch.zeros(1, 1, 3, 9, 9), 4):
    ...     torch.is_autocast_enabled("cpu")
    False
    """
    thin = x.ndim == 5 and x.shape[2] <= stride and x.device.type == "cpu"
    return torch.autocast("cpu", enabled=False) if thin else nullcontext()


def seeded(seed: int, build: Callable[..., nn.Module], *args, **kwargs) -> nn.Module:
    """Build a network with random weights in float32 determined by a seed; the global state is unchanged.

    Examples
    --------
    >>> a, b = (seeded(3, nn.Linear, 2, 1) for _ in range(2))
    >>> torch.equal(a.weight, b.weight)
    True
    """
    # torch draws weights from the one random state of all threads
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            return build(*args, **kwargs)
        finally:
            torch.set_default_dtype(before)
