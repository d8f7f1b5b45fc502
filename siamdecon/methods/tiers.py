"""How big a run is: one place that says it.

======  ==========================================================================================
test    a few steps, for structure only: the result means nothing
lab     the default: what two CPU cores train in about a minute
full    the paper's own settings, for a GPU; of what is not the paper's, a longer training
======  ==========================================================================================
"""

import os
from dataclasses import dataclass

from siamdecon.network.run import TrainingConfig


@dataclass(frozen=True)
class Tier:
    """Size of a network and of its training.

    Parameters
    ----------
    features : int
        Features of the U-Net's first convolution.
    training : TrainingConfig
        Its loss weights are replaced by those of the method.
    momentum : float
        Momentum of the batch normalisation; short runs need a larger one.
    noise : str or None
        "auto" models the clipping of the measurement, an improvement on the paper (`estimate_noise`).
    average_flips, calibrate : bool
        Two more, at inference; see `siamdecon.network.inference.predict`.

    Examples
    --------
    >>> Tier(16, TrainingConfig(steps=100)).training.steps
    100
    """

    features: int
    training: TrainingConfig
    momentum: float = 0.003
    noise: str | None = None
    average_flips: bool = True
    calibrate: bool = True


_SHORT = {"schedule": "cosine", "beta2": 0.99, "ema_decay": 0.99, "padding": "valid"}
_PAPER = {"average_flips": False, "calibrate": False}

TIERS: dict[str, dict[int, Tier]] = {
    "test": {
        2: Tier(4, TrainingConfig(steps=4, batch_size=2, patch_size=32, **_SHORT), noise="auto"),
        3: Tier(4, TrainingConfig(steps=2, batch_size=1, patch_size=32, **_SHORT), noise="auto"),
    },
    "lab": {
        2: Tier(
            16,
            TrainingConfig(steps=400, batch_size=16, patch_size=64, learning_rate=4e-3, **_SHORT),
            momentum=0.02,
            noise="auto",
        ),
        3: Tier(
            16,
            TrainingConfig(
                steps=300,
                batch_size=2,
                patch_size=32,
                learning_rate=1e-3,
                # half of a 32-pixel patch's side, an eighth of its voxels, would be left of "valid"
                **{**_SHORT, "padding": "replicate"},
            ),
            momentum=0.02,
            noise="auto",
        ),
    },
    "full": {
        2: Tier(
            96, TrainingConfig(steps=3000, batch_size=16, patch_size=128, halve_every=500), **_PAPER
        ),
        3: Tier(
            48, TrainingConfig(steps=15000, batch_size=4, patch_size=64, halve_every=2000), **_PAPER
        ),
    },
}

#: The same for methods with a network of their own. At the lab tier they choose themselves; at the full one
#: SSI has the paper's size, and self_scale, which is not the paper's, one for some minutes on two cores.
OWN_SIZES: dict[str, dict[str, dict]] = {
    "ssi": {
        "test": {"steps": 4, "features": 4},
        "lab": {},
        "full": {"steps": 3000, "features": 20, "batch_size": 16, "patch_size": 128},
    },
    "self_scale": {
        "test": {"scales": ((1.5,),), "steps": 2, "features": 4, "patch_size": 32},
        "lab": {},
        "full": {"steps": 600, "features": 32},
    },
}


def tier_name(name: str | None = None) -> str:
    """Return the name given, else the environment's `SIAMDECON_TIER`, else "lab".

    Examples
    --------
    >>> tier_name("full")
    'full'
    """
    return name or os.environ.get("SIAMDECON_TIER") or "lab"


def get_tier(name: str | None = None, n_dim: int = 2) -> Tier:
    """Return a tier by name, or the one that the environment variable `SIAMDECON_TIER` names.

    Parameters
    ----------
    name : str, optional
        "test", "lab" or "full"; "lab" unless given here or in the environment.
    n_dim : int
        2 or 3.

    Raises
    ------
    ValueError
        If there is no such tier.

    Examples
    --------
    >>> get_tier("full").training.steps
    3000
    """
    name = tier_name(name)
    if name not in TIERS:
        raise ValueError(
            f"tier: expected one of {', '.join(TIERS)}, got {name!r} (an argument or the environment "
            "variable SIAMDECON_TIER)"
        )
    return TIERS[name][n_dim]
