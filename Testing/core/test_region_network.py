"""The second answer to boxes and clicks, from them and the grey values alone."""

from dataclasses import replace

import pytest
import torch
from small_config import SMALL

from segvol_core.embeddings import WindowEncoder
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model.region_network import STEP
from segvol_core.model.segvol import SegVol
from segvol_core.region_answers import RegionAnswers
from segvol_core.training.start import begin_from
from segvol_core.zoom import OUTSIDE_LOGIT, ImagePrompt, Placement

REFINED = replace(SMALL, prompt_priors=True, refinement_width=4)
WITH_REGIONS = replace(REFINED, region_network_width=4)
BOX = ((2, 10, 30), (9, 30, 50))
NO_POINTS = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0)
CLICKS = torch.tensor([[6, 20, 40], [3, 40, 10]]), torch.tensor([1.0, 0.0])
PROMPTS = [
    ImagePrompt(*NO_POINTS, BOX, None),
    ImagePrompt(torch.tensor([[4, 20, 40]]), torch.ones(1), None, None),
    ImagePrompt(*CLICKS, BOX, None),
]


def two_networks() -> tuple[SegVol, SegVol]:
    """The same network without and with a region network."""
    torch.manual_seed(0)
    plain, model = SegVol(REFINED).eval(), SegVol(WITH_REGIONS).eval()
    begin_from(model, plain)
    return plain, model


def made_image() -> torch.Tensor:
    """Grey values of two windows' size."""
    shape = [2 * n for n in SMALL.window]
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def masks(model: SegVol, prompt: ImagePrompt, placement: Placement) -> dict[Stage, torch.Tensor]:
    """Logits of zooming out and in on a made image."""
    image = made_image()
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), placement)
    return {step.stage: step.logits for step in procedure.run([prompt]) if step.logits is not None}


@pytest.mark.parametrize("placement", ["lattice", "published"])
def test_a_box_is_answered_although_zooming_out_misses_what_is_in_it(placement: Placement) -> None:
    plain, model = two_networks()
    for network in (plain, model):
        with torch.no_grad():
            assert network.prompt_priors is not None
            network.prompt_priors.to_weights.weight.zero_()
            # Now what it finds has nothing to do with the box.
            network.prompt_priors.to_weights.bias.zero_()
    prompt = ImagePrompt(*NO_POINTS, BOX, None)
    middle = tuple((a + b) // 2 for a, b in zip(*BOX, strict=True))
    beside = (middle[0], middle[1], BOX[1][2] + 3)
    without, found = (masks(network, prompt, placement) for network in (plain, model))
    assert torch.equal(without[Stage.COARSE], found[Stage.COARSE])
    assert abs(without[Stage.FINAL][middle] - without[Stage.FINAL][beside]) < 0.5
    assert found[Stage.FINAL][middle] > 0.5
    assert found[Stage.FINAL][beside] < -0.5


@pytest.mark.parametrize("prompt", PROMPTS, ids=["box", "click", "box and clicks"])
def test_both_answers_are_heard_in_the_region(prompt: ImagePrompt) -> None:
    plain, model = two_networks()
    first, final = (masks(network, prompt, "lattice")[Stage.FINAL] for network in (plain, model))
    assert model.region_network is not None
    answers = RegionAnswers(model.region_network, made_image(), SMALL.window)
    asked = answers.ask(prompt, masks(plain, prompt, "lattice")[Stage.COARSE] > 0)
    assert asked is not None
    shown = asked.window.content.slices
    with torch.inference_mode():
        second = model.region_network.answer(
            asked.window.cut_from(made_image())[None], points=asked.points, boxes=asked.box
        )[0][asked.window.content.relative_to(asked.window.extent.low).slices]
    trust = 1.0 if prompt.box is None else overlap_of_boxes(first > 0, BOX) ** 2
    mean = (trust * first[shown] + second) / (trust + 1)
    if prompt.box is None:
        # Of the mask of a click, what is not joined to it is left out.
        final[shown] = torch.where(final[shown] == OUTSIDE_LOGIT, mean, final[shown])
    torch.testing.assert_close(final[shown], mean)
    outside = torch.ones_like(final, dtype=torch.bool)
    outside[shown] = False
    elsewhere = (trust * first + OUTSIDE_LOGIT) / (trust + 1) if prompt.box is not None else first
    torch.testing.assert_close(final[outside], elsewhere[outside])


def overlap_of_boxes(mask: torch.Tensor, box: tuple[tuple[int, ...], tuple[int, ...]]) -> float:
    """Intersection over union of two boxes, counted voxel by voxel."""
    voxels = mask.nonzero()
    around, drawn = torch.zeros_like(mask), torch.zeros_like(mask)
    if len(voxels):
        sides = zip(voxels.amin(0).tolist(), voxels.amax(0).tolist(), strict=True)
        around[tuple(slice(a, b + 1) for a, b in sides)] = True
    drawn[tuple(slice(a, b + 1) for a, b in zip(*box, strict=True))] = True
    return float((around & drawn).sum() / (around | drawn).sum())


def test_all_of_a_large_box_is_seen_at_once() -> None:
    model = two_networks()[1]
    image = made_image()
    assert model.region_network is not None
    answers = RegionAnswers(model.region_network, image, SMALL.window)
    whole = ((0, 0, 0), tuple(n - 1 for n in image.shape))
    asked = answers.ask(ImagePrompt(*NO_POINTS, whole, None), torch.zeros(image.shape) > 0)
    assert asked is not None
    assert asked.window.content.size == tuple(image.shape)
    assert all(n % STEP == 0 for n in asked.window.extent.size)
    assert asked.box is not None
    low = asked.window.extent.low
    assert asked.box[0].tolist() == [
        -low[0],
        -low[1],
        -low[2],
        *(n - 1 - a for n, a in zip(image.shape, low, strict=True)),
    ]


def test_a_box_in_which_nothing_is_found_gets_what_is_likeliest_in_it() -> None:
    model = two_networks()[1]
    assert model.region_network is not None
    with torch.no_grad():
        assert model.region_network.to_logits.bias is not None
        model.region_network.to_logits.bias.fill_(-40)
    coarse_and_final = masks(model, ImagePrompt(*NO_POINTS, BOX, None), "lattice")
    final = coarse_and_final[Stage.FINAL]
    drawn = torch.zeros_like(final, dtype=torch.bool)
    drawn[tuple(slice(a, b + 1) for a, b in zip(*BOX, strict=True))] = True
    assert float((final[drawn] > 0).float().mean()) == pytest.approx(0.15, abs=0.01)
    assert not (final[~drawn] > 0).any()
    middle = tuple((a + b) // 2 for a, b in zip(*BOX, strict=True))
    assert final[middle] > 0


def test_of_a_coarse_mask_only_what_is_near_the_clicks_is_seen_at_once() -> None:
    model = two_networks()[1]
    assert model.region_network is not None
    image = torch.zeros(*(6 * n for n in SMALL.window))
    answers = RegionAnswers(model.region_network, image, SMALL.window)
    click = ImagePrompt(torch.tensor([[4, 20, 100]]), torch.ones(1), None, None)
    for coarse in (image > 1, image == 0):
        asked = answers.ask(click, coarse)
        assert asked is not None
        assert asked.points is not None
        assert (asked.points[0][0, 0] >= 0).all()
        for size, window in zip(asked.window.extent.size, SMALL.window, strict=True):
            assert window <= size <= 2 * window + 2 * STEP


def test_more_than_can_be_seen_at_once_is_left_to_the_first_answer() -> None:
    model = two_networks()[1]
    assert model.region_network is not None
    image = torch.zeros(120, 120, 120)
    answers = RegionAnswers(model.region_network, image, SMALL.window)
    whole = ((0, 0, 0), (119, 119, 119))
    assert answers.ask(ImagePrompt(*NO_POINTS, whole, None), image > 0) is None


def test_names_are_answered_as_without_it() -> None:
    plain, model = two_networks()
    named = ImagePrompt(*NO_POINTS, None, "liver")
    before, after = (masks(network, named, "lattice") for network in (plain, model))
    assert before.keys() == after.keys()
    for stage in before:
        assert torch.equal(before[stage], after[stage])


def test_zooming_out_on_a_box_is_as_without_it() -> None:
    plain, model = two_networks()
    prompt = ImagePrompt(*NO_POINTS, BOX, None)
    before, after = (masks(network, prompt, "lattice") for network in (plain, model))
    assert torch.equal(before[Stage.COARSE], after[Stage.COARSE])
    assert not torch.equal(before[Stage.FINAL], after[Stage.FINAL])


@pytest.mark.parametrize("width", [6, -4])
def test_sizes_that_make_no_sense_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        replace(SMALL, region_network_width=width)


def test_a_region_network_needs_nothing_else_of_the_starter() -> None:
    model = SegVol(replace(SMALL, region_network_width=4)).eval()
    final = masks(model, ImagePrompt(*NO_POINTS, BOX, None), "lattice")[Stage.FINAL]
    middle = tuple((a + b) // 2 for a, b in zip(*BOX, strict=True))
    assert final[middle] > 0
