"""A click is for one structure: what is apart from it is not kept."""

from __future__ import annotations

import pytest
import torch

from segvol_core.clicked_parts import leave_out_what_is_apart


def in_a_row(*columns: int) -> torch.Tensor:
    """Logits of blocks of a mask, one round each column."""
    logits = torch.full((8, 32, 80), -4.0)
    for x in columns:
        logits[3:6, 10:20, x - 4 : x + 4] = 2.0
    return logits


@pytest.mark.parametrize(
    ("clicks", "kept"),
    [
        ([20], [20, 40]),  # joined by what is likely enough
        ([70], [70]),
        ([20, 70], [20, 40, 70]),
        ([55], [20, 40, 70]),  # beside all of them
        ([20, 55], [20, 40]),
    ],
)
@pytest.mark.parametrize("low", [(0, 0, 0), (7, 100, 3)])
def test_of_the_mask_of_a_click_what_is_apart_from_it_is_left_out(
    clicks: list[int], kept: list[int], low: tuple[int, int, int]
) -> None:
    logits = in_a_row(20, 40, 70)
    logits[4, 15, 20:40] = logits[4, 15, 20:40].clamp(min=-1.0)
    before = logits.clone()
    clicked = torch.tensor([[4, 15, x] for x in clicks]) + torch.tensor(low)
    leave_out_what_is_apart(clicked, low, logits)
    assert [x for x in (20, 40, 70) if logits[4, 15, x] > 0] == kept
    assert torch.equal(logits[before <= 0], before[before <= 0])
