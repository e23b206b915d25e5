"""A click is for one structure: what is apart from it is neither looked at nor kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_config import SMALL

from segvol_core.clicked_parts import leave_out_what_is_apart, near_clicks
from segvol_core.embeddings import WindowEncoder
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model.segvol import SegVol
from segvol_core.zoom import ImagePrompt, Placement

WITH_REGIONS = replace(SMALL, prompt_priors=True, region_network_width=4)
WITHOUT = replace(SMALL, prompt_priors=True)


def in_a_row(*columns: int) -> torch.Tensor:
    """Logits of blocks of a mask, one round each column."""
    logits = torch.full((8, 32, 80), -4.0)
    for x in columns:
        logits[3:6, 10:20, x - 4 : x + 4] = 2.0
    return logits


def click_at(*columns: int) -> torch.Tensor:
    return torch.tensor([[4, 15, x] for x in columns])


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
def test_of_the_mask_of_a_click_what_is_apart_from_it_is_left_out(
    clicks: list[int], kept: list[int]
) -> None:
    logits = in_a_row(20, 40, 70)
    logits[4, 15, 20:40] = logits[4, 15, 20:40].clamp(min=-1.0)
    before = logits.clone()
    leave_out_what_is_apart(click_at(*clicks), logits)
    assert [x for x in (20, 40, 70) if logits[4, 15, x] > 0] == kept
    assert torch.equal(logits[before <= 0], before[before <= 0])


@pytest.mark.parametrize(("click", "looked_at"), [(10, [10, 24]), (60, [60]), (40, [10, 24, 60])])
def test_a_closer_look_is_at_what_holds_a_click_and_what_is_near_that(
    click: int, looked_at: list[int]
) -> None:
    coarse = in_a_row(10, 24, 60)
    near = near_clicks(click_at(click), coarse) & (coarse > 0)
    assert [x for x in (10, 24, 60) if near[4, 15, x]] == looked_at


def final_and_windows(
    prompt: ImagePrompt, placement: Placement, *, regions: bool = True
) -> tuple[torch.Tensor, int]:
    """Final logits, and how many windows were looked at, where both ends of a long image are found.

    Every window says what zooming out says: that the ends of what it shows are the structure.
    """
    torch.manual_seed(0)
    model = SegVol(WITH_REGIONS if regions else WITHOUT).eval()
    if model.region_network is not None:
        with torch.no_grad():  # Then the first answer decides.
            model.region_network.to_logits.weight.zero_()
            model.region_network.to_logits.bias.zero_()
    image = torch.rand(8, 32, 256, generator=torch.Generator().manual_seed(1))
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), placement)
    ends = torch.full((1, 1, *(4 * n for n in SMALL.grid)), -6.0)
    ends[..., :4] = ends[..., -4:] = 6.0
    procedure._decode = lambda *_: ends  # type: ignore[method-assign]
    steps = list(procedure.run([prompt]))
    final = next(step.logits for step in steps if step.stage is Stage.FINAL)
    assert final is not None
    return final, [step.stage for step in steps].count(Stage.PROGRESS)


def a_click(text: str | None = None) -> ImagePrompt:
    return ImagePrompt(torch.tensor([[4, 16, 5]]), torch.ones(1), None, text)


def test_fewer_windows_are_looked_at_for_a_click_than_the_coarse_mask_has() -> None:
    _, near = final_and_windows(a_click(), "lattice")
    _, everywhere = final_and_windows(a_click(), "lattice", regions=False)
    assert near * 3 < everywhere


@pytest.mark.parametrize("placement", ["lattice", "published"])
def test_the_other_end_of_the_image_is_not_of_a_click(placement: Placement) -> None:
    final, _ = final_and_windows(a_click(), placement)
    assert (final[..., :32] > 0).any()
    assert not (final[..., 64:] > 0).any()


@pytest.mark.parametrize("placement", ["lattice", "published"])
@pytest.mark.parametrize(("text", "regions"), [("both", True), (None, False)])
def test_it_is_of_a_click_with_a_name_and_of_networks_as_published(
    placement: Placement, text: str | None, *, regions: bool
) -> None:
    final, _ = final_and_windows(a_click(text), placement, regions=regions)
    assert (final[..., :32] > 0).any()
    assert (final[..., 224:] > 0).any()
