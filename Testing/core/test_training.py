"""Training: from a folder of CTs to weights that follow prompts."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segvol_core.errors import VolumeError
from segvol_core.model.config import SegVolConfig, TextConfig
from segvol_core.model.prompt_encoder import IGNORE, POSITIVE
from segvol_core.model.segvol import SegVol
from segvol_core.session import Session
from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training import starter
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import TrainingDataError, prepare_cases, read_index
from segvol_core.training.examples import Example, ExampleSource
from segvol_core.training.initialisation import initialise_from_data
from segvol_core.training.loop import LoopSettings, prompt_losses, train
from segvol_core.training.names import draw_spelling, mirrored, spellings
from segvol_core.training.pseudo_labels import GRID_MM, clean, supervoxels
from segvol_core.training.targets import part_of
from segvol_core.training.validation import dice, zoom_out_dice
from segvol_core.training.zoom_in import boxes_around, coarse_in_window
from segvol_core.volume import Volume
from segvol_core.weights import load_model
from segvol_core.zoom import NO_BOX

TINY = SegVolConfig(
    window=(8, 16, 16),
    patch=(4, 4, 4),
    width=160,
    depth=1,
    heads=2,
    mlp_width=160,
    decoder_heads=2,
    decoder_mlp_width=64,
    text=TextConfig(width=32, depth=1, heads=2, mlp_width=64, vocabulary=1024),
    prompt_coordinates="aligned",
    spacing_mm=(5.0, 5.0, 5.0),
)
ORGANS = {"liver": 1, "spleen": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CTs of a body with two organs, one labelled and one not, in two orientations."""
    path = tmp_path_factory.mktemp("cts")
    voxels, labels = two_organs()
    index = []
    for name, split in (("first", "train"), ("second", "unlabelled"), ("third", "validation")):
        labelled = split != "unlabelled"
        write(voxels, path / f"{name}_ct.nii.gz", upside_down=name == "first")
        if labelled:
            write(labels, path / f"{name}_labels.nii.gz", upside_down=name == "first")
        index.append(
            {
                "case": name,
                "split": split,
                "dataset": "made",
                "image": f"{name}_ct.nii.gz",
                "labels": f"{name}_labels.nii.gz" if labelled else None,
                "label_map": ORGANS if labelled else None,
            }
        )
    (path / "index.json").write_text(json.dumps(index))
    return path


def two_organs() -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units and labels (z, y, x) of a made body, 5 mm voxels."""
    rng = np.random.default_rng(0)
    voxels = np.full((14, 24, 24), -1000.0)
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    voxels[:, 3:21, 2:22] = -80
    voxels[3:11, 6:16, 12:20], labels[3:11, 6:16, 12:20] = 110, 1
    voxels[5:10, 7:13, 4:9], labels[5:10, 7:13, 4:9] = 180, 2
    return voxels + rng.normal(0, 8, voxels.shape), labels


def write(array: np.ndarray, path: Path, *, upside_down: bool) -> None:
    flipped = array[::-1] if upside_down else array
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(flipped))
    image.SetSpacing((5.0, 5.0, 5.0))
    # RAS, or its first slice at the top.
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, -1 if upside_down else 1))
    SimpleITK.WriteImage(image, str(path))


# -- Cases ---------------------------------------------------------------------------------------


def test_a_folder_is_read_whatever_the_orientation_of_its_files(folder: Path) -> None:
    first, second, third = prepare_cases(read_index(folder), TINY)
    assert second.labels is None
    assert second.label_values == {}
    assert first.labels is not None
    assert third.labels is not None
    assert torch.equal(first.labels, third.labels)
    # Labels lie where the image is bright.
    organ = first.image.float()[first.labels == 2].mean()
    elsewhere = first.image.float()[first.labels == 0].mean()
    assert organ > 2 * elsewhere


def test_prepared_cases_are_kept_only_where_a_cache_is_wanted(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.iterdir())
    plain = list(prepare_cases(read_index(folder), TINY))
    assert sorted(folder.iterdir()) == before
    for _ in range(2):
        cached = list(prepare_cases(read_index(folder), TINY, tmp_path / "cache"))
        assert torch.equal(cached[0].image, plain[0].image)
        assert torch.equal(cached[1].regions.regions, plain[1].regions.regions)
    assert len(list((tmp_path / "cache").iterdir())) == 3


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "index.json").unlink(), "no index.json"),
        (lambda folder: (folder / "index.json").write_text("{"), "not a list of cases"),
        (lambda folder: (folder / "index.json").write_text('[{"case": "a"}]'), "not a list of"),
        (lambda folder: (folder / "ct.nii.gz").unlink(), "names ct.nii.gz"),
        (lambda folder: folder.rename(folder.with_name("moved")), "no training folder"),
    ],
)
def test_a_folder_that_is_not_a_training_folder_is_named_in_a_sentence(
    tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    folder = tmp_path / "cts"
    folder.mkdir()
    (folder / "ct.nii.gz").touch()
    record = {"case": "a", "split": "train", "image": "ct.nii.gz", "labels": None}
    (folder / "index.json").write_text(json.dumps([{**record, "label_map": None}]))
    read_index(folder)
    damage(folder)
    with pytest.raises(TrainingDataError, match=sentence):
        read_index(folder)


# -- Pseudo-labels -------------------------------------------------------------------------------


def test_pseudo_labels_tell_two_touching_organs_apart() -> None:
    rng = np.random.default_rng(0)
    voxels = np.full((20, 30, 34), -80.0)
    organs = np.zeros(voxels.shape, dtype=np.uint8)
    voxels[4:16, 6:24, 4:16], organs[4:16, 6:24, 4:16] = 60, 1
    voxels[4:16, 6:24, 16:30], organs[4:16, 6:24, 16:30] = 190, 2
    voxels += rng.normal(0, 8, voxels.shape)
    regions = clean(supervoxels(voxels.astype(np.float32)))
    best = []
    for organ in (1, 2):
        overlaps = [dice(regions == r, organs == organ) for r in range(1, regions.max() + 1)]
        assert max(overlaps) > 0.7
        best.append(int(np.argmax(overlaps)))
    assert best[0] != best[1]


def test_pseudo_labels_have_no_specks_and_no_whole_volumes() -> None:
    rng = np.random.default_rng(1)
    found = np.zeros((20, 30, 30), dtype=np.int32)
    found[4:12, 5:20, 5:20] = 1
    found[15, 15, 15] = 2
    found[14:19, 20:29, 2] = 3  # one voxel thick: opening removes it
    found[4:12, 20:24, 5:20][rng.random((8, 4, 15)) < 0.03] = 1
    cleaned = clean(found)
    assert cleaned.max() == 1
    sizes = np.bincount(cleaned.ravel())[1:]
    assert (sizes * GRID_MM**3 > 3000).all()
    assert cleaned[15, 15, 15] == 0
    assert not cleaned[14:19, 20:29, 2].any()


# -- Augmentation --------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), zoomed_out=st.booleans())
def test_image_and_labels_move_together(seed: int, zoomed_out: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = torch.zeros(20, 30, 30, dtype=torch.uint8)
    labels[5:14, 8:20, 10:24] = 1
    image = labels.half()
    strength = Strength(flips=(0.5, 0.5, 0.5))
    overview = augment.draw_overview((20, 30, 30), (16, 24, 24), strength, rng, 0.7)
    geometry = overview.zoomed_out()
    if not zoomed_out:
        organ = augment.sample_labels(labels, geometry) == 1
        geometry, _ = overview.zoomed_in(organ.nonzero().double().mean(0).numpy())
    seen = augment.sample_image(image, geometry) > 0.5
    wanted = augment.sample_labels(labels, geometry) == 1
    assert wanted.any()
    assert dice(seen.numpy(), wanted.numpy()) > (0.999 if zoomed_out else 0.9)


def test_without_augmentation_a_window_shows_the_image_itself() -> None:
    image = torch.rand(12, 20, 20)
    rng = np.random.default_rng(0)
    overview = augment.draw_overview((12, 20, 20), (12, 20, 20), augment.NONE, rng, 1.0)
    assert torch.equal(augment.sample_image(image, overview.zoomed_out()), image)
    halved = augment.draw_overview((12, 20, 20), (4, 8, 8), augment.NONE, rng, 1.0)
    part, positions = halved.zoomed_in(np.array([1.5, 3.5, 3.5]))
    assert torch.allclose(augment.sample_image(image, part), image[4:8, 6:14, 6:14], atol=1e-4)
    # Four voxels of twelve are a third of the overview's four.
    assert torch.allclose(positions[0], torch.tensor([1.0, 4 / 3, 5 / 3, 2.0]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_window_finds_what_zooming_out_found_where_it_was_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = torch.zeros(48, 90, 90, dtype=torch.uint8)
    labels[8:40, 20:60, 30:80] = 1
    strength = Strength(flips=(0.5, 0.5, 0.5))
    overview = augment.draw_overview((48, 90, 90), (16, 24, 24), strength, rng, 0.7)
    coarse = augment.sample_labels(labels, overview.zoomed_out()).float()
    geometry, positions = overview.zoomed_in(rng.uniform(0, 1, 3) * [15, 23, 23])
    wanted = augment.sample_labels(labels, geometry) == 1
    found = coarse_in_window(coarse[None, None] * 2 - 1, positions)[0] > 0
    # The coarse voxels are three to four times as long.
    assert float((found == wanted).float().mean()) > 0.75
    if wanted.float().mean() > 0.3:
        assert dice(found.numpy(), wanted.numpy()) > 0.75


@given(seed=st.integers(0, 10**6), empty=st.booleans())
def test_the_box_of_a_coarse_mask_is_its_first_and_last_voxels(seed: int, empty: bool) -> None:
    mask = np.random.default_rng(seed).random((4, 6, 7)) < (0 if empty else 0.05)
    box = boxes_around(torch.from_numpy(mask)[None])[0]
    if mask.any():
        assert (box.numpy() == simulate.box_of(mask)).all()
    else:
        assert tuple(box.tolist()) == NO_BOX


def test_grey_values_stay_grey_values() -> None:
    rng = np.random.default_rng(0)
    image = torch.linspace(0, 1, 16).expand(8, 16, 16)
    for _ in range(20):
        changed = augment.change_grey_values(image, rng)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        assert np.corrcoef(image.flatten(), changed.flatten())[0, 1] > 0.95


# -- Prompts -------------------------------------------------------------------------------------

boxes = st.tuples(
    st.integers(0, 6), st.integers(0, 12), st.integers(0, 12),
    st.integers(1, 6), st.integers(1, 12), st.integers(1, 12),
)  # fmt: skip


def blob(box: tuple[int, ...], seed: int) -> np.ndarray:
    """A mask with holes inside a box of a (12, 24, 24) window."""
    mask = np.zeros((12, 24, 24), dtype=bool)
    z, y, x, d, h, w = box
    mask[z : z + d, y : y + h, x : x + w] = np.random.default_rng(seed).random((d, h, w)) < 0.8
    mask[z, y, x] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_clicks_lie_where_their_label_says(box: tuple[int, ...], seed: int) -> None:
    window = blob(box, seed)
    # The window is the middle of the overview, whose voxels are twice as long.
    positions = tuple(n / 4 - 0.25 + torch.arange(n) / 2 for n in window.shape)
    overview = np.zeros(window.shape, dtype=bool)
    for z, y, x in np.argwhere(window):
        place = [round(float(axis[i])) for axis, i in zip(positions, (z, y, x), strict=True)]
        overview[tuple(place)] = True
    overview[0, 0, :3] = True
    out, inside = simulate.simulate_clicks(overview, window, positions, np.random.default_rng(seed))
    assert out.labels[0] == POSITIVE
    for prompt, mask in ((out, overview), (inside, window)):
        for voxel, label in zip(prompt.voxels.astype(int), prompt.labels, strict=True):
            if label == IGNORE:
                assert (voxel == -1).all()
                continue
            assert (voxel >= 0).all()
            assert (voxel < mask.shape).all()
    for voxel, label in zip(out.voxels.astype(int), out.labels, strict=True):
        if label == POSITIVE:
            assert overview[tuple(voxel)]
    positive = inside.voxels[inside.labels == POSITIVE].astype(int)
    assert len(positive) <= simulate.POINT_SLOTS
    if not len(positive):
        assert (inside.labels != POSITIVE).all()
        assert len(inside.labels) >= 1
    for z, y, x in positive[:1]:
        # The same click: the window's voxel lies in the overview's.
        places = [float(axis[i]) for axis, i in zip(positions, (z, y, x), strict=True)]
        apart = np.array(places) - out.voxels[out.labels == POSITIVE]
        assert (np.abs(apart).max(axis=1) <= 1.0).any()


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_boxes_are_near_the_target_zoomed_out_and_in(box: tuple[int, ...], seed: int) -> None:
    overview = blob(box, seed)
    # The window is the middle of the overview, whose voxels are twice as long.
    positions = tuple(n / 4 - 0.25 + torch.arange(n) / 2 for n in overview.shape)
    nearest = [np.rint(axis.numpy()).astype(int) for axis in positions]
    window = overview[np.ix_(*nearest)]
    out, drawn = simulate.simulate_box(overview, window, positions, np.random.default_rng(seed))
    tight = simulate.box_of(overview)
    inside = np.argwhere(overview)
    assert (tight[:3] == inside.min(0)).all()
    assert (tight[3:] == inside.max(0)).all()
    assert (out[:3] >= 0).all()
    assert (out[3:] < overview.shape).all()
    assert (out[:3] <= out[3:]).all()
    assert np.abs(out - tight).max() <= 3
    # The same box: each of its sides lies within a voxel of the overview's.
    first = np.array([float(axis[0]) for axis in positions] * 2)
    assert np.abs((first + drawn / 2).clip(0, np.tile(overview.shape, 2) - 1) - out).max() <= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_box_is_as_sharp_as_the_window_shows_the_target(seed: int) -> None:
    # One voxel of the overview is four of the window.
    positions = tuple(n / 2 - 0.5 + (torch.arange(n) - (n - 1) / 2) / 4 for n in (12, 24, 24))
    window = np.zeros((12, 24, 24), dtype=bool)
    window[3:10, 6:15, 7:] = True
    overview = np.zeros((12, 24, 24), dtype=bool)
    for z, y, x in np.argwhere(window):
        place = [round(float(axis[i])) for axis, i in zip(positions, (z, y, x), strict=True)]
        overview[tuple(place)] = True
    overview[:, :, 15:20] = overview[:, :, 14:15]
    _, drawn = simulate.simulate_box(overview, window, positions, np.random.default_rng(seed))
    assert np.abs(drawn[:5] - [3, 6, 7, 9, 14]).max() <= 2
    assert drawn[5] > 30, "it goes on beyond the window"


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_a_part_of_a_target_is_cut_alike_zoomed_out_and_in(box: tuple[int, ...], seed: int) -> None:
    overview = blob(box, seed)
    # The window has the overview's own voxels, shifted.
    positions = (torch.arange(6) + 2, torch.arange(24), torch.arange(12) + 6)
    shown = np.s_[2:8, :, 6:18]
    part = part_of((overview, overview[shown]), positions, np.random.default_rng(seed))
    if part is None:
        return
    out, inside = part
    assert (out <= overview).all()
    assert 0 < out.sum() <= overview.sum()
    assert (inside == out[shown]).all()


def test_the_centre_of_an_organ_is_deep_inside_it() -> None:
    mask = np.zeros((12, 24, 24), dtype=bool)
    mask[2:9, 4:11, 6:13] = True
    mask[5, 7, 13:24] = True  # a thin arm, which a centroid would follow
    assert np.abs(simulate.centre_voxel(mask) - [5, 7, 9]).max() <= 1


# -- Names ---------------------------------------------------------------------------------------


def test_structures_are_named_as_inference_names_them_and_in_other_ways() -> None:
    choices = spellings("kidney_left")
    assert "left kidney" in choices
    assert len(choices) > 1
    rng = np.random.default_rng(0)
    drawn = [draw_spelling(choices, rng) for _ in range(100)]
    assert drawn.count(choices[0]) > 40
    assert len(set(drawn)) > 1
    assert spellings("something nobody knows") == ("something nobody knows",)


def test_a_flip_swaps_left_and_right_names() -> None:
    known = {"LeftParotid": 1, "RightParotid": 2, "kidney_left": 3, "Brainstem": 4}
    assert mirrored("LeftParotid", known) == "RightParotid"
    assert mirrored("RightParotid", known) == "LeftParotid"
    assert mirrored("Brainstem", known) == "Brainstem"
    assert mirrored("kidney_left", known) is None


def test_every_kind_of_prompt_is_trained_and_flipped_organs_keep_no_name(folder: Path) -> None:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    source = ExampleSource(case, TINY.window, mirror_names=False, foreign_names=("Brainstem",))
    rng = np.random.default_rng(0)
    strength = Strength(flips=(0.0, 0.0, 0.3))
    seen = set()
    foreign = named = 0
    for _ in range(150):
        example = source.draw(rng, batches=2, masks=4, strength=strength)
        assert example.overview.shape == example.window.shape == TINY.window
        named += example.structures is not None
        for prompts in example.prompts:
            seen.add(prompts.kind)
            assert prompts.overview_target.shape == prompts.window_target.shape
            assert prompts.window_target.shape[1:] == TINY.window
            assert (prompts.texts is not None) == ("text" in prompts.kind)
            assert (prompts.overview_boxes is not None) == ("box" in prompts.kind)
            assert (prompts.overview_points is not None) == ("points" in prompts.kind)
            assert (prompts.window_points is not None) == ("points" in prompts.kind)
            for text, target in zip(prompts.texts or [], prompts.overview_target, strict=False):
                if text in spellings("Brainstem"):
                    foreign += 1
                    assert not target.any()
    assert seen == {"points", "box", "text", "text+points", "text+box", "points+box"}
    assert foreign > 0
    # A flipped liver is no liver.
    assert 60 < named < 140


def test_a_window_is_also_asked_for_an_organ_that_lies_elsewhere(folder: Path) -> None:
    small = next(iter(prepare_cases(read_index(folder), TINY)))
    labels = torch.zeros(24, 64, 64, dtype=torch.uint8)
    labels[4:20, 4:20, 4:20], labels[4:20, 44:60, 44:60] = 1, 2
    case = replace(small, image=labels.half() / 2, labels=labels)
    source = ExampleSource(case, TINY.window, mirror_names=False)
    rng = np.random.default_rng(0)
    here = elsewhere = 0
    for _ in range(60):
        example = source.draw(rng, batches=2, masks=2, strength=augment.NONE)
        for prompts in example.prompts:
            out, inside = (
                target.flatten(1).any(1)
                for target in (prompts.overview_target, prompts.window_target)
            )
            here += int((out & inside).sum())
            elsewhere += int((out & ~inside).sum())
    assert here > 3 * elsewhere > 0


# -- Start --------------------------------------------------------------------------------------


def test_an_untrained_network_already_shows_voxels_and_places_to_its_decoder(folder: Path) -> None:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    model = SegVol(TINY)
    initialise_from_data(model, [case.image], np.random.default_rng(0))
    image = torch.rand(TINY.window)
    double, normalise, gelu, again, _ = model.mask_decoder.output_upscaling
    with torch.inference_mode():
        tokens = model.image_encoder(image[None, None])
        features = again(gelu(normalise(double(tokens))))[0]
    grey = features[5].flatten()
    assert np.corrcoef(grey, image.flatten())[0, 1] > 0.9
    for axis in range(3):
        place = torch.nn.functional.gelu(features[12 + axis]).movedim(axis, 0).flatten(1)
        assert float(place.std(dim=1).max()) < 1e-4
        assert torch.allclose(place[:, 0].diff(), place[:, 0].diff().mean(), atol=0.05)


# -- Learning ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """One example, learnt by heart."""

    example: Example
    losses: list[float]
    model: SegVol


@pytest.fixture(scope="module")
def lesson(folder: Path) -> Lesson:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    source = ExampleSource(case, TINY.window, mirror_names=False)
    rng = np.random.default_rng(0)
    example = source.draw(rng, batches=3, masks=2, strength=augment.NONE)
    while {"text", "box"} - {prompts.kind for prompts in example.prompts}:
        example = source.draw(rng, batches=3, masks=2, strength=augment.NONE)
    torch.manual_seed(0)
    model = SegVol(replace(TINY, trained_names=tuple(ORGANS)))
    initialise_from_data(model, [case.image], rng)
    losses: list[float] = []
    trained = train(
        model,
        itertools.repeat([example]),
        LoopSettings(steps=90, learning_rate=2e-3, warmup_steps=10, average_decay=0.9),
        lambda progress, _: losses.append(float(np.mean(list(progress.losses.values())))),
    )
    return Lesson(example, losses, trained)


def test_a_tiny_network_learns_a_made_case(lesson: Lesson) -> None:
    assert len(lesson.losses) == 90
    assert lesson.losses[-1] < 0.3 * lesson.losses[0]
    images = torch.stack([lesson.example.overview, lesson.example.window])[:, None]
    with torch.inference_mode():
        for prompts in lesson.example.prompts:
            embeddings = lesson.model.image_encoder(images)
            for losses in prompt_losses(lesson.model, embeddings, lesson.example, prompts):
                assert float(losses.mean()) < 0.5


def test_a_mask_is_named_by_the_name_that_finds_it(lesson: Lesson) -> None:
    voxels, labels = two_organs()
    session = Session(lesson.model, Volume(voxels.astype(np.float32), np.diag([5.0, 5, 5, 1])))
    for name, value in ORGANS.items():
        namings = session.identify(labels == value)
        assert {naming.organ.name for naming in namings} == set(ORGANS)
        assert sum(naming.probability for naming in namings) == pytest.approx(1)
        assert namings[0].organ.name == name
        assert namings[0].probability > 0.5
    with pytest.raises(VolumeError, match="empty segment"):
        session.identify(np.zeros(labels.shape, dtype=bool))
    with pytest.raises(VolumeError, match="does not fit"):
        session.identify(np.ones((2, 3, 4), dtype=bool))


def test_validation_reports_every_structure_for_every_kind_of_prompt(folder: Path) -> None:
    cases = list(prepare_cases(read_index(folder), TINY))
    found = zoom_out_dice(SegVol(TINY), cases)
    assert set(found) == {"text", "click", "box"}
    for figures in found.values():
        assert set(figures) == set(ORGANS)
        assert all(0 <= value <= 1 for value in figures.values())


def test_same_seed_and_steps_give_the_same_weights(folder: Path, tmp_path: Path) -> None:
    states = []
    for index, seed in enumerate((3, 3, 4)):
        output = tmp_path / f"{index}.safetensors"
        starter.train_starter(folder, output, LoopSettings(steps=3), seed=seed, config=TINY)
        states.append(load_model(output).state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True)
    )
    assert not all(
        torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True)
    )


def test_two_workers_train_one_network(folder: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for output in outputs:
        starter.train_starter(folder, output, LoopSettings(steps=3), seed=1, config=TINY, workers=2)
    first, second = (load_model(output).state_dict() for output in outputs)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def test_training_can_go_on_from_weights(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    starter.train_starter(folder, output, LoopSettings(steps=2), config=TINY)
    starter.train_starter(folder, more, LoopSettings(steps=1), config=TINY, start=output)
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changes = [
        float((a - b).abs().max()) for a, b in zip(before.values(), after.values(), strict=True)
    ]
    assert 0 < max(changes) < 0.05


def test_the_command_says_what_is_missing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = starter.main([str(tmp_path / "nowhere"), "--steps", "1"])
    assert status == 1
    assert "There is no training folder" in caplog.text
    with pytest.raises(SystemExit):
        starter.main([str(tmp_path)])
    assert "--minutes or --steps" in capsys.readouterr().err


def test_a_training_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="bound"):
        LoopSettings()
