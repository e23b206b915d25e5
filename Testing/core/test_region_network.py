"""Answers to boxes and clicks from them and the grey values alone."""

from dataclasses import replace

import pytest
import torch
from small_config import SMALL

from segvol_core.embeddings import WindowEncoder
from segvol_core.inference import Stage, Step, ZoomOutZoomIn
from segvol_core.model.config import SegVolConfig
from segvol_core.model.region_network import RegionNetwork
from segvol_core.model.segvol import SegVol
from segvol_core.region_answers import RegionAnswers
from segvol_core.training.start import begin_from
from segvol_core.zoom import OUTSIDE_LOGIT, ImagePrompt, Placement

REFINED = replace(SMALL, prompt_priors=True, refinement_width=4)
WITH_REGIONS = replace(REFINED, region_network_width=4)
DEEP = replace(WITH_REGIONS, region_network_levels=4)
BOX = ((2, 10, 30), (9, 30, 50))
NO_POINTS = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0)
CLICKS = torch.tensor([[6, 20, 40], [3, 40, 10]]), torch.tensor([1.0, 0.0])
ONE_CLICK = torch.tensor([[4, 20, 40]]), torch.ones(1)
PROMPTS = [
    ImagePrompt(*NO_POINTS, BOX, None),
    ImagePrompt(*ONE_CLICK, None, None),
    ImagePrompt(*CLICKS, BOX, None),
]
PLACEMENTS: list[Placement] = ["lattice", "published"]
everywhere = pytest.mark.parametrize("placement", PLACEMENTS)
all_prompts = pytest.mark.parametrize("prompt", PROMPTS, ids=["box", "click", "box and clicks"])


def two_networks(config: SegVolConfig = WITH_REGIONS) -> tuple[SegVol, SegVol]:
    """The same network without and with a region network."""
    torch.manual_seed(0)
    plain, model = SegVol(REFINED).eval(), SegVol(config).eval()
    begin_from(model, plain)
    with torch.no_grad():  # Round a click it finds something.
        assert model.region_network is not None
        assert model.region_network.to_logits.bias is not None
        model.region_network.to_logits.bias.fill_(1.1)
    return plain, model


def made_image() -> torch.Tensor:
    """Grey values of two windows' size."""
    shape = [2 * n for n in SMALL.window]
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def steps(model: SegVol, prompt: ImagePrompt, placement: Placement) -> list[Step]:
    """Zooming out and in on a made image."""
    image = made_image()
    procedure = ZoomOutZoomIn(model, image, WindowEncoder(model, image, 10**8), placement)
    return list(procedure.run([prompt]))


def masks(model: SegVol, prompt: ImagePrompt, placement: Placement) -> dict[Stage, torch.Tensor]:
    """Logits of zooming out and in on a made image."""
    return {
        step.stage: step.logits
        for step in steps(model, prompt, placement)
        if step.logits is not None
    }


def answers_on(model: SegVol, image: torch.Tensor) -> RegionAnswers:
    assert model.region_network is not None
    return RegionAnswers(model.region_network, image, SMALL.window, torch.device("cpu"))


@everywhere
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
    assert abs(without[Stage.FINAL][middle] - without[Stage.FINAL][beside]) < 0.5
    assert found[Stage.FINAL][middle] > 0.5
    assert found[Stage.FINAL][beside] < -0.5


@all_prompts
def test_boxes_and_clicks_get_one_mask_wherever_windows_would_lie(prompt: ImagePrompt) -> None:
    model = two_networks()[1]
    lattice, published = (masks(model, prompt, placement) for placement in PLACEMENTS)
    assert torch.equal(lattice[Stage.FINAL], published[Stage.FINAL])


@all_prompts
def test_no_window_is_encoded_for_boxes_and_clicks(prompt: ImagePrompt) -> None:
    plain, model = two_networks()
    without, found = (
        [step.stage for step in steps(each, prompt, "lattice")] for each in (plain, model)
    )
    assert without.count(Stage.PROGRESS) > 0
    assert found == [Stage.COARSE, Stage.FINAL]


@everywhere
@pytest.mark.parametrize("points", [NO_POINTS, ONE_CLICK], ids=["box", "click"])
def test_both_answers_are_heard_where_a_name_is_given_too(
    placement: Placement, points: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain, model = two_networks()
    box = None if len(points[0]) else BOX
    prompt = ImagePrompt(*points, box, "liver")
    first, final = (masks(network, prompt, placement)[Stage.FINAL] for network in (plain, model))
    *_, second = answers_on(model, made_image()).looks(prompt)
    shown = second.part.slices
    trust = 1.0 if box is None else overlap_of_boxes(first > 0, box) ** 2
    torch.testing.assert_close(final[shown], (trust * first[shown] + second.logits) / (trust + 1))
    outside = torch.ones_like(final, dtype=torch.bool)
    outside[shown] = False
    elsewhere = first if box is None else (trust * first + OUTSIDE_LOGIT) / (trust + 1)
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


@pytest.mark.parametrize("config", [WITH_REGIONS, DEEP], ids=["three levels", "four levels"])
def test_all_of_a_large_box_is_seen_at_once(config: SegVolConfig) -> None:
    model = two_networks(config)[1]
    image = made_image()
    whole = ((0, 0, 0), tuple(n - 1 for n in image.shape))
    prompt = ImagePrompt(*NO_POINTS, whole, None)  # type: ignore[arg-type]
    assert answers_on(model, image).can_answer(prompt)
    (answer,) = answers_on(model, image).looks(prompt)
    assert answer.part.size == tuple(image.shape)


def test_a_box_in_which_nothing_is_found_gets_what_is_likeliest_in_it() -> None:
    model = two_networks()[1]
    assert model.region_network is not None
    with torch.no_grad():
        assert model.region_network.to_logits.bias is not None
        model.region_network.to_logits.bias.fill_(-40)
    final = masks(model, ImagePrompt(*NO_POINTS, BOX, None), "lattice")[Stage.FINAL]
    drawn = torch.zeros_like(final, dtype=torch.bool)
    drawn[tuple(slice(a, b + 1) for a, b in zip(*BOX, strict=True))] = True
    assert 0.14 < float((final[drawn] > 0).float().mean()) < 0.6
    assert not (final[~drawn] > 0).any()
    middle = tuple((a + b) // 2 for a, b in zip(*BOX, strict=True))
    assert final[middle] > 0


@pytest.mark.parametrize(("around", "found"), [(-0.6, 10 * 20 * 20), (-9.0, 4 * 6 * 6)])
def test_a_mask_reaches_as_far_as_its_box_if_that_is_at_all_likely(
    around: float, found: int
) -> None:
    image = torch.zeros(24, 48, 48)
    image[4:14, 10:30, 12:32] = 0.5
    image[8:12, 18:24, 20:26] = 1.0

    class SureOfTheCore(torch.nn.Module):
        step = 4

        def answer(self, image: torch.Tensor, **_prompt: object) -> torch.Tensor:
            return torch.where(image == 1, 2.0, torch.where(image == 0.5, around, -9.0))

    network = SureOfTheCore()
    answers = RegionAnswers(network, image, SMALL.window, torch.device("cpu"))  # type: ignore[arg-type]
    drawn = ImagePrompt(*NO_POINTS, ((3, 9, 11), (14, 30, 32)), None)
    (answer,) = answers.looks(drawn)
    assert int((answer.logits > 0).sum()) == found


class FindsAllThatIsBright(torch.nn.Module):
    """In the place of a region network; notes the sizes of what it is shown."""

    step = 4

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def answer(self, image: torch.Tensor, **_prompt: object) -> torch.Tensor:
        self.seen.append(tuple(image.shape[1:]))
        return torch.where(image > 0.5, 2.0, -4.0)


@pytest.mark.parametrize("length", [20, 50, 70])
def test_a_structure_is_followed_as_far_as_it_reaches_from_a_click(length: int) -> None:
    image = torch.zeros(40, 64, 160)
    image[18:22, 30:34, 30 : 30 + length] = 1
    image[18:22, 30:34, 140:] = 1  # another one
    network = FindsAllThatIsBright()
    answers = RegionAnswers(network, image, SMALL.window, torch.device("cpu"))  # type: ignore[arg-type]
    click = ImagePrompt(torch.tensor([[20, 32, 40]]), torch.ones(1), None, None)
    assert answers.can_answer(click)
    *_, answer = answers.looks(click)
    found = torch.zeros_like(image, dtype=torch.bool)
    found[answer.part.slices] = answer.logits > 0
    assert torch.equal(found[..., :130], image[..., :130] > 0)
    assert not found[..., 130:].any()
    assert network.seen[0] == (12, 32, 32)  # a window, with a margin round the click
    assert len(network.seen) == len(set(network.seen))


def test_a_click_on_something_endless_is_answered_from_so_much_as_can_be_seen() -> None:
    image = torch.ones(80, 400, 400)
    network = FindsAllThatIsBright()
    answers = RegionAnswers(network, image, SMALL.window, torch.device("cpu"))  # type: ignore[arg-type]
    click = ImagePrompt(torch.tensor([[40, 200, 200]]), torch.ones(1), None, None)
    looks = list(answers.looks(click))
    assert (looks[-1].logits > 0).all()
    assert len(network.seen) == len(looks) <= 4


def test_more_than_can_be_seen_at_once_is_left_to_the_windows() -> None:
    model = two_networks()[1]
    image = torch.zeros(120, 120, 120)
    whole = ((0, 0, 0), (119, 119, 119))
    assert not answers_on(model, image).can_answer(ImagePrompt(*NO_POINTS, whole, None))


@everywhere
def test_names_are_answered_as_without_it(placement: Placement) -> None:
    plain, model = two_networks()
    named = ImagePrompt(*NO_POINTS, None, "liver")
    before, after = (masks(network, named, placement) for network in (plain, model))
    assert before.keys() == after.keys()
    for stage in before:
        assert torch.equal(before[stage], after[stage])


@all_prompts
def test_a_first_look_is_shown_at_once_and_the_last_one_in_the_end(prompt: ImagePrompt) -> None:
    model = two_networks()[1]
    looks = list(answers_on(model, made_image()).looks(prompt))
    shown = masks(model, prompt, "lattice")
    for stage, answer in ((Stage.COARSE, looks[0]), (Stage.FINAL, looks[-1])):
        assert torch.equal(shown[stage][answer.part.slices], answer.logits)
        assert int((shown[stage] > 0).sum()) == int((answer.logits > 0).sum())


def test_boxes_and_clicks_do_not_wait_for_the_image_being_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = two_networks()[1]
    monkeypatch.setattr(ZoomOutZoomIn, "look_at_whole", lambda _: pytest.fail("it was encoded"))
    for prompt in PROMPTS:
        assert masks(model, prompt, "lattice").keys() == {Stage.COARSE, Stage.FINAL}


@pytest.mark.parametrize("bias", [-40.0, 0.5])
def test_a_click_is_answered_by_windows_where_the_region_network_is_not_sure(bias: float) -> None:
    plain, model = two_networks()
    assert model.region_network is not None
    with torch.no_grad():
        assert model.region_network.to_logits.bias is not None
        model.region_network.to_logits.bias.fill_(bias)
    before, after = (masks(each, PROMPTS[1], "lattice") for each in (plain, model))
    for stage in before:
        assert torch.equal(before[stage], after[stage])


@pytest.mark.parametrize("width", [6, -4])
def test_sizes_that_make_no_sense_are_refused(width: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        replace(SMALL, region_network_width=width)


def test_levels_that_the_window_is_too_small_for_are_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple of 8"):
        replace(DEEP, window=(4, 32, 32))
    with pytest.raises(ValueError, match="not 3 or 4"):
        replace(SMALL, region_network_levels=5)


def test_a_region_network_needs_nothing_else_of_the_starter() -> None:
    model = SegVol(replace(SMALL, region_network_width=4)).eval()
    final = masks(model, ImagePrompt(*NO_POINTS, BOX, None), "lattice")[Stage.FINAL]
    middle = tuple((a + b) // 2 for a, b in zip(*BOX, strict=True))
    assert final[middle] > 0


def test_a_click_in_a_narrow_canal_means_what_is_in_it_and_not_the_bone_round_it() -> None:
    image = torch.full((1, 12, 32, 32), 0.5)
    image[..., 10:23, 10:23] = 1.0  # bone
    image[..., 15:18, 15:18] = 0.6  # and the canal in it
    click = torch.tensor([[[6.0, 16.0, 16.0]]]), torch.ones(1, 1)

    def likeness(exact: bool) -> torch.Tensor:
        seen: list[torch.Tensor] = []
        network = RegionNetwork(replace(WITH_REGIONS, region_network_exact_clicks=exact))
        network.register_forward_pre_hook(lambda _, maps: seen.append(maps[0]))
        network.answer(image, points=click)
        everywhere_alike = 3
        return seen[0][0, everywhere_alike]

    exact, roughly = likeness(exact=True), likeness(exact=False)
    canal, bone = (6, 16, 16), (6, 16, 12)
    assert exact[canal] > 0.3
    assert exact[canal] - exact[bone] > roughly[canal] - roughly[bone] + 0.2


def test_another_level_answers_as_before_until_it_has_learnt() -> None:
    model = two_networks()[1]
    assert model.region_network is not None
    with torch.no_grad():
        torch.nn.init.normal_(model.region_network.to_logits.weight)
    deep = SegVol(DEEP).eval()
    begin_from(deep, model)
    prompt = PROMPTS[2]
    before, after = (masks(network, prompt, "lattice")[Stage.FINAL] for network in (model, deep))
    torch.testing.assert_close(before, after)
