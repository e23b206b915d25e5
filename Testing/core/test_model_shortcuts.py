"""What the network does not compute as it is written in the paper changes nothing but rounding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from segvol_core.benchmark.published_kernels import use_published_kernels
from segvol_core.model.linear import in_chunks
from segvol_core.model.two_way_transformer import Attention
from segvol_core.model.upscaling import Upscaling

WIDTH, HEADS, INNER_WIDTH = 48, 4, 24
FEW, MANY = INNER_WIDTH // HEADS, 50


@pytest.mark.parametrize(
    ("queries", "keys"), [(FEW, MANY), (1, MANY), (MANY, FEW), (MANY, 1), (FEW, FEW), (MANY, MANY)]
)
def test_tokens_see_the_same_however_few_are_projected(queries: int, keys: int) -> None:
    torch.manual_seed(queries * keys)
    attention = Attention(WIDTH, HEADS, INNER_WIDTH).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    given = [
        torch.randn(2, n, WIDTH, dtype=torch.float64, requires_grad=True)
        for n in (queries, keys, keys)
    ]
    changed = (*given, *attention.parameters())

    def outcome(seen: Tensor) -> tuple[Tensor, ...]:
        # No gradient at all, and one of zeros, are the same to an optimiser's step.
        gradients = torch.autograd.grad(seen.square().sum(), changed, allow_unused=True)
        zeros = [torch.zeros_like(one) for one in changed]
        return seen, *(
            zero if one is None else one for zero, one in zip(zeros, gradients, strict=True)
        )

    torch.testing.assert_close(
        outcome(attention(*given)), outcome(attention.all_projected(*given)), atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("learning", [False, True])
def test_a_mask_is_upscaled_as_by_transposed_convolutions(*, learning: bool) -> None:
    torch.manual_seed(0)
    width, grid = 32, (8, 16, 20)
    ours = Upscaling(width, grid)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    published = copy.deepcopy(ours)
    tokens, weights = torch.randn(2, 8 * 16 * 20, width), torch.randn(2, width // 8)
    with torch.set_grad_enabled(learning), use_published_kernels(published):
        expected = published(tokens, weights)
        assert type(published) is not Upscaling
        torch.testing.assert_close(ours(tokens, weights), expected, atol=1e-3, rtol=1e-4)
    assert expected.shape == (2, 1, 32, 64, 80)


def test_tokens_are_mapped_some_at_a_time_unless_a_gradient_is_wanted() -> None:
    seen: list[int] = []

    def double(tokens: Tensor) -> Tensor:
        seen.append(tokens.shape[1])
        return 2 * tokens

    tokens = torch.randn(2, 10, 3)
    assert torch.equal(in_chunks(double, tokens, 4), 2 * tokens)
    assert seen == [10]
    with torch.inference_mode():
        assert torch.equal(in_chunks(double, tokens, 4), 2 * tokens)
        assert torch.equal(in_chunks(double, tokens, 10), 2 * tokens)
    assert seen == [10, 4, 4, 2, 10]
