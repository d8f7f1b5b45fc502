"""One file a method, one interface for all."""

from siamdecon.methods.base import METHODS
from siamdecon.methods.coarser_scales import downsample, match_coarse
from siamdecon.methods.self_scale import find_noise
from siamdecon.methods.tiers import get_tier, tier_name
