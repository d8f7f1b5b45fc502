"""One file a method, one interface for all."""

from siamdecon.methods.base import Method, tier_name
from siamdecon.methods.classical import RichardsonLucy, Wiener
from siamdecon.methods.self_scale import SelfScale, downsample, find_noise, match_coarse
from siamdecon.methods.siamese import Noise2Same, Noise2SameD, Noise2Self
from siamdecon.methods.ssi import SSI
from siamdecon.methods.total_variation import TotalVariation

_ALL = (RichardsonLucy, Wiener, TotalVariation, SSI, SelfScale, Noise2Self, Noise2Same, Noise2SameD)
#: Every method by its name.
METHODS: dict[str, type[Method]] = {method.name: method for method in _ALL}
