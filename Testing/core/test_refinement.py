"""The refinement of logits voxel by voxel, in a small network."""

from dataclasses import replace

import pytest
import torch
from small_config import SMALL

from segvol_core.embeddings import WindowEncoder
from segvol_core.errors import WeightsError
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model.prompt_priors import DRAWN_BOX_MAPS, MAPS
from segvol_core.model.refinement import Refinement
from segvol_core.model.segvol import SegVol
from segvol_core.model.unet import Block
from segvol_core.training.start import begin_from
from segvol_core.zoom import ImagePrompt, box_relative_to

PLAIN = replace(SMALL, prompt_priors=True)
REFINED = replace(PLAIN, refinement_width=4)
BOXES = torch.tensor([[1.0, 8, 4, 6, 23, 27], [0.0, 0, 0, 3, 15, 15]])


def refined() -> SegVol:
    """A network whose refinement says something."""
    torch.manual_seed(0)
    model = SegVol(REFINED).eval()
    assert model.refinement is not None
    torch.nn.init.normal_(model.refinement.to_logits.weight)
    return model


def test_a_network_that_is_given_a_refinement_answers_at_first_as_before() -> None:
    torch.manual_seed(0)
    plain, model = SegVol(PLAIN).eval(), SegVol(REFINED).eval()
    begin_from(model, plain)
    image = torch.rand(1, 1, *SMALL.window)
    with torch.inference_mode():
        before = plain(image, boxes=BOXES[:1])
        after = model(image, boxes=BOXES[:1])
    assert torch.equal(before, after)


def test_a_refined_network_is_continued_with_its_refinement() -> None:
    first, second = refined(), SegVol(REFINED)
    begin_from(second, first)
    for key, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key


def test_weights_of_another_size_are_no_start() -> None:
    with pytest.raises(WeightsError, match="other sizes"):
        begin_from(SegVol(REFINED), SegVol(replace(PLAIN, depth=1)))


def test_prompts_in_one_batch_are_refined_as_one_by_one() -> None:
    model = refined()
    image = torch.rand(1, 1, *SMALL.window)
    with torch.inference_mode():
        embedding = model.image_encoder(image)
        together = model.decode(embedding, boxes=BOXES, image=image[:, 0])
        alone = [model.decode(embedding, boxes=box[None], image=image[:, 0]) for box in BOXES]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_edges_inside_a_patch_are_learnt_in_a_few_steps() -> None:
    torch.manual_seed(0)
    refinement = Refinement(REFINED)
    optimiser = torch.optim.Adam(refinement.parameters(), 0.02)
    grid = [4 * n for n in REFINED.grid]
    maps, drawn, logits = (torch.zeros(1, n, *grid) for n in (MAPS, DRAWN_BOX_MAPS, 1))
    tokens = torch.zeros(1, REFINED.tokens, REFINED.width)
    losses = []
    for _ in range(30):
        image = (torch.rand(1, *grid) > 0.5).float()
        image = torch.nn.functional.interpolate(image[None], SMALL.window)[0]
        target = torch.nn.functional.adaptive_avg_pool3d(image, tuple(grid))[None]
        added = refinement.refine(image, maps, drawn, logits, tokens)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(added, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.693, abs=1e-3)
    assert losses[-1] < 0.2


@pytest.mark.parametrize(
    ("width", "priors", "why"), [(6, True, "multiple of 4"), (8, False, "prompt priors")]
)
def test_sizes_of_a_refinement_that_make_no_sense_are_refused(
    width: int, priors: bool, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        replace(SMALL, prompt_priors=priors, refinement_width=width)


def test_all_of_a_drawn_box_is_looked_at_closer_and_nothing_far_from_it() -> None:
    model = refined()
    depth, height, width = (3 * n for n in SMALL.window)
    image = torch.rand(depth, height, width)
    box = ((1, 2, 2), (SMALL.window[0] + 2, 20, 40))
    prompt = ImagePrompt(torch.zeros(0, 3, dtype=torch.long), torch.zeros(0), box, None)
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), "lattice")
    logits = {step.stage: step.logits for step in procedure.run([prompt])}
    coarse, final = logits[Stage.COARSE], logits[Stage.FINAL]
    assert coarse is not None
    assert final is not None
    looked_at = coarse != final
    assert looked_at[tuple(slice(a, b + 1) for a, b in zip(*box, strict=True))].all()
    assert not looked_at[2 * SMALL.window[0] :].any()
    assert not looked_at[:, 2 * SMALL.window[1] :].any()


def test_a_box_says_the_same_in_every_window_that_shows_a_part_of_it() -> None:
    box = ((1, 2, 3), (9, 20, 40))
    assert box_relative_to(box, (4, 0, 30)).tolist() == [[-3, 2, -27, 5, 20, 10]]


def test_gradients_on_few_planes_do_not_depend_on_what_memory_held() -> None:
    torch.manual_seed(0)
    block, x = Block(16, 16), torch.randn(1, 16, 2, 4, 4)
    gradients = []
    for _ in range(8):
        held = [torch.full((n,), 1e30) for n in (100, 1000, 4000, 16000, 64000) * 20]
        del held
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = block(x).float().square().mean()
        loss.backward()
        assert block.convolution.weight.grad is not None
        gradients.append(block.convolution.weight.grad.clone())
    assert all(torch.equal(each, gradients[0]) for each in gradients)
    assert float(gradients[0].abs().max()) < 10
