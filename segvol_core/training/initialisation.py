"""A start from which a small network learns in minutes what it would else learn in hours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segvol_core.model.config import Size3
from segvol_core.model.image_encoder import SelfAttention, TransformerBlock
from segvol_core.model.mask_decoder import MaskDecoder
from segvol_core.model.positional_encoding import PositionalEncoding
from segvol_core.model.segvol import SegVol
from segvol_core.model.two_way_transformer import Attention, TwoWayBlock

_PATCHES_PER_CASE = 400
_NOISE_VARIANCE = 2e-5
_TOKEN_SIZE = 0.7
_POSITION_SIZE = 0.4
_LOG_FREQUENCIES = (-1.1, 0.1)
_MASK_WEIGHT_SIZE = 0.2
_CONSTANT_CHANNELS = 4
_FIRST_LOGIT = -3.0
_GELU_OF_ONE = 0.8413
_VOXELS_OF_A_CUBE = 4 * 4 * 4
_ROOM_FOR_ALL = 160
"""An eighth of the width are the features of a voxel: constants, thresholds, coordinates."""
_GREY_GAIN = 5.0
_RAISED = 3.0
_THRESHOLD_GAIN = 3.0
_REACH = 4.0
_PLACE_WEIGHT_SIZE = 0.05
_THRESHOLDS = (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.7, 1.0)


def initialise_from_data(model: SegVol, images: Sequence[Tensor], rng: np.random.Generator) -> None:
    """Let patch embedding and positions start from what is known about the data.

    Organs differ by a few hundredths of the range of grey values, and a random projection of
    patches is nearly all "air or not". The patch embedding therefore starts as the principal
    components of patches, each scaled to the same variance, so that edges and texture are visible
    from the first step. Positions start as the Fourier features that prompts are encoded by, so
    that neighbouring tokens and clicks are alike before anything is learnt.

    Parameters
    ----------
    model
        Changed in place.
    images
        Prepared images (D, H, W).
    rng
        Chooses the patches.
    """
    config = model.config
    patches = torch.cat([_patches(image, config.patch, rng) for image in images])
    patches = patches[patches.amax(1) > 0.02].double()
    mean = patches.mean(0)
    variance, components = torch.linalg.eigh(torch.cov((patches - mean).T))
    count = min(config.width, len(variance))
    variance, components = variance.flip(0)[:count], components.flip(1)[:, :count]
    projection = (components / (variance + _NOISE_VARIANCE).sqrt()).T * _TOKEN_SIZE
    # Spread over the channels, so that attention heads do not get one frequency each.
    mixing = np.linalg.qr(rng.standard_normal((config.width, config.width)))[0][:, :count]
    weight = torch.from_numpy(mixing) @ projection
    embedding = model.image_encoder.patch_embedding
    linear = next(module for module in embedding.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        _spread_frequencies(model.prompt_encoder.pe_layer)
        linear.weight.copy_(weight)
        linear.bias.copy_(-(weight @ mean))
        positions = model.prompt_encoder.dense_positions().flatten(2).transpose(1, 2)
        embedding.position_embeddings.copy_(positions * _POSITION_SIZE)
        _open_mask_head(model.mask_decoder)
        for module in model.modules():
            if isinstance(module, SelfAttention):
                _look_at_alike(module.qkv.weight[: config.width], module.qkv.weight[config.width :])
            elif isinstance(module, TwoWayBlock):
                _look_at_alike_across(module.cross_attn_token_to_image)
                _look_at_alike_across(module.cross_attn_image_to_token)
        if math.prod(config.patch) == _VOXELS_OF_A_CUBE and config.width >= _ROOM_FOR_ALL:
            _carry_voxels_through(model, float(mean.mean()))
            _offer_ellipsoids(model.mask_decoder)


def _spread_frequencies(encoding: PositionalEncoding) -> None:
    """Fourier features from a fraction of a wave per window to several.

    With the usual unit deviation, a token in the middle of a large box has nothing in common with
    its corners. Slow waves tell on which side of a corner it is, fast ones how near.
    """
    matrix = encoding.positional_encoding_gaussian_matrix
    sizes = torch.logspace(*_LOG_FREQUENCIES, matrix.shape[1])
    matrix.copy_(torch.randn(matrix.shape) * sizes)


def _open_mask_head(decoder: MaskDecoder) -> None:
    """Features and mask weights of unit size, and a first answer of "nothing is foreground".

    Logits are products of the two. With the layers' usual start both are a few hundredths, each
    waits for the other to grow, and the first minutes go into learning a constant.
    """
    first, _, features = _upscaling(decoder)
    for convolution in (first, features):
        nn.init.normal_(convolution.weight, std=convolution.in_channels**-0.5)
    layers = [
        module
        for module in decoder.output_hypernetworks_mlps[0].modules()
        if isinstance(module, nn.Linear)
    ]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    weights = layers[-1]
    weights.weight.mul_(_MASK_WEIGHT_SIZE)
    constant = slice(0, _CONSTANT_CHANNELS)
    features.weight[:, constant] = 0
    _bias(features)[constant] = 1
    weights.bias[constant] = _FIRST_LOGIT / (_CONSTANT_CHANNELS * _GELU_OF_ONE)


def _carry_voxels_through(model: SegVol, mean_grey: float) -> None:
    """Let the decoder see the voxels of each patch from the first step.

    A patch is one token, and its mask is painted from that token: what a voxel's grey value says
    about the same voxel of the mask would be learnt for each place in a patch separately, from
    nothing. So the first channels of a token start as the patch's own voxels, no layer writes on
    them at first, and the upscaling layers start by putting each back in its place, seen through
    several grey-value thresholds. All of it is free to change in training.
    """
    channels = slice(0, _VOXELS_OF_A_CUBE)
    embedding = model.image_encoder.patch_embedding
    linear = next(module for module in embedding.modules() if isinstance(module, nn.Linear))
    linear.weight[channels] = torch.eye(_VOXELS_OF_A_CUBE) * _GREY_GAIN
    linear.bias[channels] = -mean_grey * _GREY_GAIN
    embedding.position_embeddings[..., channels] = 0
    nn.init.zeros_(model.prompt_encoder.no_mask_embed.weight)
    for module in model.modules():
        if isinstance(module, TransformerBlock):
            for layer in (module.attn.out_proj, module.mlp.linear2):
                layer.weight[channels] = 0
                layer.bias[channels] = 0
        elif isinstance(module, TwoWayBlock):
            module.cross_attn_image_to_token.out_proj.weight[channels] = 0
            module.cross_attn_image_to_token.out_proj.bias[channels] = 0

    first, norm, second = _upscaling(model.mask_decoder)
    thresholds = slice(_CONSTANT_CHANNELS, _CONSTANT_CHANNELS + len(_THRESHOLDS))
    first.weight[:, :8] = 0
    second.weight[:, thresholds] = 0
    for d, h, w in itertools.product(range(4), repeat=3):
        voxel = (d * 4 + h) * 4 + w
        place = (d % 2 * 2 + h % 2) * 2 + w % 2
        first.weight[voxel, place, d // 2, h // 2, w // 2] = 1
        second.weight[place, thresholds, d % 2, h % 2, w % 2] = _THRESHOLD_GAIN
    _bias(first)[:8] = 0
    # Raised so that the activation between the two layers leaves the values as they are.
    norm.bias[:8] = _RAISED
    _bias(second)[thresholds] = -_THRESHOLD_GAIN * (torch.tensor(_THRESHOLDS) + _RAISED)


def _offer_ellipsoids(decoder: MaskDecoder) -> None:
    """Let a mask start as an ellipsoid: linear in a voxel's coordinates and their squares.

    A mask is linear in the features of a voxel. Where these hold nothing about the place, a box
    can only be filled through attention of every patch to its corners, which takes long to learn.
    The normalisation between the upscaling layers has an offset for every place, which can hold
    coordinates; then one mask token says all about an ellipsoid, and grey values say the rest.
    """
    _, norm, second = _upscaling(decoder)
    grid = norm.normalized_shape[1:]
    constant, first_out = 14, _CONSTANT_CHANNELS + len(_THRESHOLDS)
    norm.weight[8:15] = 0
    norm.bias[constant] = _RAISED
    second.weight[8:15] = 0
    for axis in range(3):
        place, square = 8 + axis, 11 + axis
        out_place, out_square = first_out + axis, first_out + 3 + axis
        view = [1, 1, 1]
        view[axis] = -1
        steps = (torch.arange(grid[axis]) + 0.5) / grid[axis] * 2 - 1
        coordinate = (steps * _REACH).view(view)
        norm.bias[place] = coordinate + _REACH + 2
        norm.bias[square] = coordinate**2 + _RAISED
        second.weight[:, [out_place, out_square]] = 0
        second.weight[place, out_place] = 1
        second.weight[square, out_square] = 1
        # Each voxel of this grid becomes two, a quarter of it to either side of its middle.
        quarter = _REACH / grid[axis] / 2
        shift = torch.tensor([-quarter, quarter]).view(view).expand(2, 2, 2)
        second.weight[constant, out_place] = shift / _RAISED
        # (x + shift)² = x² + 2 x shift, and a shift² that does not matter.
        second.weight[place, out_square] = 2 * shift
        second.weight[constant, out_square] = -2 * shift * (_REACH + 2) / _RAISED
    outputs = slice(first_out, first_out + 6)
    _bias(second)[outputs] = 0
    weights = [
        m for m in decoder.output_hypernetworks_mlps[0].modules() if isinstance(m, nn.Linear)
    ]
    for layer in (weights[-1], decoder.txt_align_upscaled_embedding):
        layer.weight[outputs] *= _PLACE_WEIGHT_SIZE


def _look_at_alike_across(attention: Attention) -> None:
    _look_at_alike(attention.q_proj.weight, attention.k_proj.weight)


def _bias(layer: nn.ConvTranspose3d) -> Tensor:
    if layer.bias is None:
        raise ValueError("the upscaling layers have a bias")
    return layer.bias


def _upscaling(
    decoder: MaskDecoder,
) -> tuple[nn.ConvTranspose3d, nn.LayerNorm, nn.ConvTranspose3d]:
    """The layers with weights between tokens and the features that a mask is painted with."""
    modules = list(decoder.output_upscaling)
    first, second = (module for module in modules if isinstance(module, nn.ConvTranspose3d))
    (norm,) = (module for module in modules if isinstance(module, nn.LayerNorm))
    return first, norm, second


def _look_at_alike(queries: Tensor, keys: Tensor) -> None:
    """Equal projections of queries and keys: what is alike, or near, attends to each other.

    Trained vision transformers look like this (Trockman and Kolter, "Mimetic initialization of
    self-attention layers", ICML 2023), and small data do not get a random start there soon.
    """
    nn.init.orthogonal_(queries)
    keys[: len(queries)].copy_(queries)


def _patches(image: Tensor, patch: Size3, rng: np.random.Generator) -> Tensor:
    last = [max(1, n - p + 1) for n, p in zip(image.shape, patch, strict=True)]
    corners = rng.integers(0, last, (_PATCHES_PER_CASE, 3))
    slices = [
        image[tuple(slice(int(a), int(a) + p) for a, p in zip(corner, patch, strict=True))]
        for corner in corners
    ]
    return torch.stack([part.float().flatten() for part in slices])
