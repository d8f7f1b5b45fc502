"""Self-supervised single-image deconvolution with Siamese neural networks, as a course and a package.

The code and the notation follow Papkov, Palo and Parts, "Self-Supervised Single-Image Deconvolution
with Siamese Neural Networks" (2023), https://arxiv.org/abs/2308.09426.
"""

import os

# Threads that wait must sleep: where they spin, one busy neighbour slows a training step several times.
# OpenMP reads this when torch is loaded, so it comes first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
