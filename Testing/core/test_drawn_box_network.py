"""The second answer to a drawn box, from the box and the grey values alone."""

from dataclasses import replace

import pytest
import torch
from small_config import SMALL

from segvol_core.embeddings import WindowEncoder
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model.segvol import SegVol
from segvol_core.training.start import begin_from
from segvol_core.zoom import ImagePrompt, Placement

REFINED = replace(SMALL, prompt_priors=True, refinement_width=4)
WITH_BOXES = replace(REFINED, drawn_box_width=4)
BOX = ((2, 10, 30), (9, 30, 50))
NO_POINTS = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0)


def two_networks() -> tuple[SegVol, SegVol]:
    """The same network without and with a part for drawn boxes."""
    torch.manual_seed(0)
    plain, model = SegVol(REFINED).eval(), SegVol(WITH_BOXES).eval()
    begin_from(model, plain)
    return plain, model


def masks(model: SegVol, prompt: ImagePrompt, placement: Placement) -> dict[Stage, torch.Tensor]:
    """Logits of zooming out and in on a made image."""
    image = torch.rand(*(2 * n for n in SMALL.window), generator=torch.Generator().manual_seed(1))
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


def test_the_answer_is_the_mean_of_both() -> None:
    plain, model = two_networks()
    image = torch.rand(1, *SMALL.window)
    boxes = torch.tensor([[1.0, 8, 4, 6, 23, 27], [-3.0, 0, 0, 3, 15, 40]])
    coarse = torch.randn(2, *SMALL.window)
    asked = {"boxes": boxes, "coarse": coarse, "drawn_boxes": boxes, "image": image}
    assert model.drawn_box_network is not None
    assert model.prompt_priors is not None
    with torch.inference_mode():
        embedding = model.image_encoder(image[None])
        first = plain.decode(embedding, **asked)
        second = model.drawn_box_network.answer(
            image, model.prompt_priors.of_drawn_box(image, boxes)
        )
        torch.testing.assert_close(model.decode(embedding, **asked), (first + second) / 2)


def test_clicks_and_names_are_answered_as_without_it() -> None:
    plain, model = two_networks()
    click = ImagePrompt(torch.tensor([[4, 20, 40]]), torch.ones(1), None, None)
    named = ImagePrompt(*NO_POINTS, None, "liver")
    for prompt in (click, named):
        before, after = (masks(network, prompt, "lattice") for network in (plain, model))
        assert before.keys() == after.keys()
        for stage in before:
            assert torch.equal(before[stage], after[stage])


def test_zooming_out_on_a_box_is_as_without_it() -> None:
    plain, model = two_networks()
    prompt = ImagePrompt(*NO_POINTS, BOX, None)
    before, after = (masks(network, prompt, "lattice") for network in (plain, model))
    assert torch.equal(before[Stage.COARSE], after[Stage.COARSE])
    assert not torch.equal(before[Stage.FINAL], after[Stage.FINAL])


@pytest.mark.parametrize(
    ("width", "refinement", "why"), [(6, 4, "multiple of 4"), (-4, 4, "multiple"), (8, 0, "needs")]
)
def test_sizes_that_make_no_sense_are_refused(width: int, refinement: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(REFINED, drawn_box_width=width, refinement_width=refinement)
