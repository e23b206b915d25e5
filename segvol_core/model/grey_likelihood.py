"""How much a voxel's grey value looks like what a prompt marks rather than what it leaves out.

The ratio of two histograms, as in interactive graph cuts (Boykov and Jolly 2001; Rother, Kolmogorov
and Blake 2004): of the grey values where a prompt says "inside", and of those around it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_BINS = 32
_UNSEEN = 0.02
"""Part of each histogram that is spread over all bins, so that nothing is impossible."""
_LARGEST = 3.0


def grey_likelihood(image: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """Logarithm of the ratio of likelihoods of each voxel's grey value, scaled to [-1, 1].

    Parameters
    ----------
    image
        (D, H, W), grey values in [0, 1].
    inside, outside
        (n, D, H, W) weights of the voxels that make the two histograms of each prompt.

    Returns
    -------
    Tensor
        (n, D, H, W); zero for a prompt that has no weights in one of the two.
    """
    with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
        # Half of each voxel is its neighbourhood, against noise.
        blurred = F.avg_pool3d(image[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
        grey = (0.5 * image + 0.5 * blurred).clamp(0, 1).flatten()
        bins = (grey * (_BINS - 1) + 0.5).long()
        members = F.one_hot(bins, _BINS).float()
        ratio = (_histogram(inside, members) / _histogram(outside, members)).log()
        known = (inside.flatten(1).sum(1) > 0) & (outside.flatten(1).sum(1) > 0)
        level = ratio.clamp(-_LARGEST, _LARGEST) / _LARGEST * known[:, None]
        return level[:, bins].view(len(inside), *image.shape)


def _histogram(weights: Tensor, members: Tensor) -> Tensor:
    """Smoothed, normalised histograms (n, bins)."""
    counts = weights.flatten(1) @ members
    kernel = counts.new_tensor([1, 4, 6, 4, 1])[None, None] / 16
    smooth = F.conv1d(counts[:, None], kernel, padding=2)[:, 0]
    shares = smooth / smooth.sum(1, keepdim=True).clamp(min=1e-12)
    return (shares + _UNSEEN / _BINS) / (1 + _UNSEEN)
