"""The network f and how it learns: U-Net, losses, patches, training, inference."""

from siamdecon.hardware import to_array, to_tensor
from siamdecon.network.inference import guess, halo_of, predict
from siamdecon.network.losses import LossWeights, boundary, composition_loss, invariance
from siamdecon.network.patches import random_patches, stratified_mask, symmetries
from siamdecon.network.training import History, Training, steps_taken
from siamdecon.network.unet import UNet
from siamdecon.tiles import blend, exact, tile_starts, windows
