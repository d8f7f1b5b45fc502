"""One file a method, one interface for all."""

from siamdecon.methods import classical, total_variation, ssi, self_scale, siamese, auto  # noqa: I001 - their order
from siamdecon.methods.base import METHODS, Method, tier_name
from siamdecon.methods.self_scale import downsample, find_noise, match_coarse
