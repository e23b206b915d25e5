"""Where a network that looks at all of an image finds what texts name."""

from dataclasses import replace

import pytest
import torch
from small_config import SMALL

from segvol_core.embeddings import WindowEncoder
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model import name_network
from segvol_core.model.name_network import CELL, NameNetwork
from segvol_core.model.segvol import SegVol
from segvol_core.name_answers import spread
from segvol_core.region_answers import RegionAnswers
from segvol_core.training.start import begin_from
from segvol_core.zoom import ImagePrompt, Placement

PLAIN = replace(SMALL, prompt_priors=True)
WITH_NAMES = replace(PLAIN, name_network_width=4)
NO_POINTS = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0)
NAMED = ImagePrompt(*NO_POINTS, None, "liver")
everywhere = pytest.mark.parametrize("placement", ["lattice", "published"])


def network() -> NameNetwork:
    torch.manual_seed(0)
    return NameNetwork(WITH_NAMES).eval()


def two_networks() -> tuple[SegVol, SegVol]:
    """The same network without and with a name network."""
    torch.manual_seed(0)
    plain, model = SegVol(PLAIN).eval(), SegVol(WITH_NAMES).eval()
    begin_from(model, plain)
    return plain, model


def with_offset(model: SegVol, offset: float) -> SegVol:
    """A network that finds every name everywhere, or nowhere."""
    assert model.name_network is not None
    with torch.no_grad():
        last: torch.nn.Linear = model.name_network.of_text[-1]  # type: ignore[assignment]
        last.bias[-1] = offset
    return model


def made_image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def masks(model: SegVol, prompt: ImagePrompt, placement: Placement) -> dict[Stage, torch.Tensor]:
    image = made_image(*(2 * n for n in SMALL.window))
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), placement)
    return {step.stage: step.logits for step in procedure.run([prompt]) if step.logits is not None}


@pytest.mark.parametrize("shape", [(16, 32, 48), (7, 30, 41), (1, 9, 2)])
def test_every_voxel_of_an_image_is_in_a_cell(shape: tuple[int, int, int]) -> None:
    with torch.inference_mode():
        features = network().look_at(made_image(*shape))
    assert features.shape[1:] == tuple(-(-n // CELL) for n in shape)
    cells = torch.arange(features[0].numel()).float().view(1, *features.shape[1:])
    voxels = spread(cells, shape)
    assert voxels.shape[1:] == shape
    assert torch.equal(voxels[0, 0, 0, 0], cells[0, 0, 0, 0])


def test_a_tall_image_is_answered_in_slabs_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image = made_image(4 * CELL * 8, 16, 16)
    model = network()
    # Statistics of a whole slab enter every cell; without them a cell sees its surroundings alone.
    for module in model.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = lambda x: x  # type: ignore[method-assign]
    with torch.inference_mode():
        at_once = model.look_at(image)
        monkeypatch.setattr(name_network, "_SLAB", 8)
        monkeypatch.setattr(name_network, "_MARGIN", 24)
        in_slabs = model.look_at(image)
    torch.testing.assert_close(in_slabs, at_once, atol=1e-3, rtol=1e-3)


def test_left_is_told_from_right_in_an_image_that_is_the_same_on_both_sides() -> None:
    image = made_image(16, 32, 32)
    image = (image + image.flip(2)) / 2
    with torch.inference_mode():
        features = network().look_at(image)
    assert not torch.allclose(features, features.flip(3), atol=1e-3)


@everywhere
def test_a_name_is_looked_for_in_all_of_the_image_at_once(placement: Placement) -> None:
    plain, model = two_networks()
    with_offset(model, 6.0)
    assert model.name_network is not None
    image = made_image(*(2 * n for n in SMALL.window))
    with torch.inference_mode():
        cells = model.name_network.compare(
            model.name_network.look_at(image), model.text_encoder(["liver"])
        )
    found = masks(model, NAMED, placement)
    expected = spread(cells, tuple(image.shape))[0]  # type: ignore[arg-type]
    torch.testing.assert_close(found[Stage.COARSE], expected)
    torch.testing.assert_close(found[Stage.FINAL], expected)
    assert not torch.allclose(expected, masks(plain, NAMED, placement)[Stage.COARSE])


@everywhere
@pytest.mark.parametrize("prompt", [NAMED, replace(NAMED, box=((2, 10, 30), (9, 30, 50)))])
def test_a_name_that_is_found_nowhere_is_looked_for_in_windows(
    placement: Placement, prompt: ImagePrompt
) -> None:
    plain, model = two_networks()
    before, after = (masks(each, prompt, placement) for each in (plain, with_offset(model, -99.0)))
    for stage in before:
        assert torch.equal(before[stage], after[stage])


def test_what_is_found_by_name_is_looked_at_closer_by_the_region_network() -> None:
    torch.manual_seed(0)
    model = with_offset(SegVol(replace(WITH_NAMES, region_network_width=4)).eval(), 6.0)
    found = masks(model, NAMED, "lattice")
    image = made_image(*(2 * n for n in SMALL.window))
    assert model.region_network is not None
    answers = RegionAnswers(model.region_network, image, SMALL.window, torch.device("cpu"))
    answer = answers.refined(found[Stage.COARSE])
    assert answer is not None
    torch.testing.assert_close(found[Stage.FINAL][answer.part.slices], answer.logits)
    # Before it has learnt anything it leaves a mask as it is.
    assert torch.equal(answer.logits > 0, found[Stage.COARSE][answer.part.slices] > 0)


@everywhere
def test_clicks_are_answered_as_without_it(placement: Placement) -> None:
    plain, model = two_networks()
    click = ImagePrompt(torch.tensor([[4, 20, 40]]), torch.ones(1), None, None)
    before, after = (masks(each, click, placement) for each in (plain, with_offset(model, 6.0)))
    for stage in before:
        assert torch.equal(before[stage], after[stage])


def test_it_is_looked_at_the_image_once_for_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    model = two_networks()[1]
    looks = []
    look = NameNetwork.look_at
    monkeypatch.setattr(
        NameNetwork, "look_at", lambda self, image: looks.append(1) or look(self, image)
    )
    image = made_image(*(2 * n for n in SMALL.window))
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), "lattice")
    list(procedure.run([NAMED, replace(NAMED, text="spleen")]))
    list(procedure.run([replace(NAMED, text="heart")]))
    assert procedure.name_answers is not None
    procedure.name_answers.likeness(image > 0.5, procedure.embed_text("liver"))
    assert len(looks) == 1


def test_a_mask_is_named_by_where_each_name_is_likely() -> None:
    model = two_networks()[1]
    image = made_image(*(2 * n for n in SMALL.window))
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), "lattice")
    answers = procedure.name_answers
    assert answers is not None
    vectors = torch.cat([procedure.embed_text(name) for name in ("liver", "spleen")])
    answers.cells = lambda _: torch.stack([left, -left])  # type: ignore[method-assign]
    left = torch.full((8, 32, 32), -6.0)
    left[..., :10] = 6
    mask = torch.zeros_like(image, dtype=torch.bool)
    mask[..., :18] = True
    first, second = answers.likeness(mask, vectors).tolist()
    assert first == pytest.approx(2 * 9 / 19, abs=0.01)
    assert second < 0.1
