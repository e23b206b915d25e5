"""A click or a name is for one structure: what is apart from it is not kept."""

from __future__ import annotations

import pytest
import torch

from segvol_core.meant_parts import leave_out_small_parts, leave_out_what_is_apart


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


def test_of_the_mask_of_a_name_parts_that_are_small_beside_the_largest_are_left_out() -> None:
    logits = in_a_row(20, 60)  # as two halves of an organ
    logits[0, 0, 0] = logits[4, 28:30, 40] = 1.0
    before = logits.clone()
    leave_out_small_parts(logits)
    assert logits[4, 15, 20] > 0
    assert logits[4, 15, 60] > 0
    assert logits[0, 0, 0] < 0
    assert not (logits[4, 28:30, 40] > 0).any()
    assert torch.equal(logits[before <= 0], before[before <= 0])


@pytest.mark.parametrize("logit", [-4.0, 2.0])
def test_nothing_and_everything_stay_as_they_are(logit: float) -> None:
    logits = torch.full((4, 6, 8), logit)
    leave_out_small_parts(logits)
    assert (logits == logit).all()
