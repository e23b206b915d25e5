"""Training: from a folder of CTs to weights that follow prompts."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segvol_core.model.config import SegVolConfig, TextConfig
from segvol_core.model.prompt_encoder import IGNORE, NEGATIVE, POSITIVE
from segvol_core.model.segvol import SegVol
from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training import starter
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import TrainingDataError, prepare_cases, read_index
from segvol_core.training.examples import ExampleSource
from segvol_core.training.initialisation import initialise_from_data
from segvol_core.training.loop import LoopSettings, train
from segvol_core.training.names import draw_spelling, mirrored, spellings
from segvol_core.training.pseudo_labels import GRID_MM, clean, supervoxels
from segvol_core.training.validation import dice, zoom_out_dice
from segvol_core.weights import load_model

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
    if zoomed_out:
        geometry = augment.zoom_out_geometry((20, 30, 30), (16, 24, 24), strength, rng, 0.5)
    else:
        centre = np.array([9.0, 14.0, 17.0])
        geometry = augment.zoom_in_geometry(centre, (16, 24, 24), strength, rng)
    seen = augment.sample_image(image, geometry) > 0.5
    wanted = augment.sample_labels(labels, geometry) == 1
    assert wanted.any()
    assert dice(seen.numpy(), wanted.numpy()) > (0.999 if zoomed_out else 0.9)


def test_without_augmentation_a_window_shows_the_image_itself() -> None:
    image = torch.rand(12, 20, 20)
    rng = np.random.default_rng(0)
    whole = augment.zoom_out_geometry((12, 20, 20), (12, 20, 20), augment.NONE, rng, 1.0)
    assert torch.equal(augment.sample_image(image, whole), image)
    part = augment.zoom_in_geometry(np.array([5.5, 9.5, 9.5]), (4, 8, 8), augment.NONE, rng)
    assert torch.allclose(augment.sample_image(image, part), image[4:8, 6:14, 6:14], atol=1e-4)


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
@given(box=boxes, seed=st.integers(0, 10**6), zooming_in=st.booleans())
def test_clicks_lie_where_their_label_says(
    box: tuple[int, ...], seed: int, zooming_in: bool
) -> None:
    mask = blob(box, seed)
    rng = np.random.default_rng(seed)
    if zooming_in:
        prompt = simulate.simulate_clicks_in_window(mask, rng)
    else:
        prompt = simulate.simulate_clicks(mask, rng)
        assert prompt.labels[0] == POSITIVE
    for voxel, label in zip(prompt.voxels.astype(int), prompt.labels, strict=True):
        assert label in (POSITIVE, NEGATIVE, IGNORE)
        if label == IGNORE:
            assert (voxel == -1).all()
            continue
        assert (voxel >= 0).all()
        assert (voxel < mask.shape).all()
        if label == NEGATIVE:
            assert not mask[tuple(voxel)]
        elif not zooming_in:
            assert mask[tuple(voxel)]
    if zooming_in and (prompt.labels == POSITIVE).any():
        assert mask[tuple(prompt.voxels[0].astype(int))]
        # The others share a zoom-out voxel with it or are clicks of their own.
        assert (prompt.labels == POSITIVE).sum() <= simulate.POINT_SLOTS


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6), coarse=st.booleans())
def test_boxes_are_near_the_target_and_inside_the_window(
    box: tuple[int, ...], seed: int, coarse: bool
) -> None:
    mask = blob(box, seed)
    rng = np.random.default_rng(seed)
    drawn = (simulate.simulate_coarse_box if coarse else simulate.simulate_box)(mask, rng)
    tight = simulate.box_of(mask)
    inside = np.argwhere(mask)
    assert (tight[:3] == inside.min(0)).all()
    assert (tight[3:] == inside.max(0)).all()
    if coarse and (drawn == -1).all():
        return
    assert (drawn[:3] >= 0).all()
    assert (drawn[3:] < mask.shape).all()
    assert (drawn[:3] <= drawn[3:]).all()
    assert np.abs(drawn - tight).max() <= (6 if coarse else 3)


def test_a_window_without_the_target_gets_no_click_and_no_good_box() -> None:
    rng = np.random.default_rng(0)
    nothing = np.zeros((12, 24, 24), dtype=bool)
    drawn = [simulate.simulate_coarse_box(nothing, rng) for _ in range(50)]
    assert any((box == -1).all() for box in drawn)
    assert any((box >= 0).all() for box in drawn)
    assert (simulate.simulate_clicks_in_window(nothing, rng).labels == IGNORE).all()


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
    foreign = 0
    for _ in range(150):
        example = source.draw(rng, batches=2, masks=4, strength=strength)
        assert example.image.shape == TINY.window
        for prompts in example.prompts:
            seen.add((example.zoomed_out, prompts.kind))
            assert prompts.target.shape[1:] == TINY.window
            assert (prompts.texts is not None) == ("text" in prompts.kind)
            assert (prompts.boxes is not None) == ("box" in prompts.kind)
            assert (prompts.points is not None) == ("points" in prompts.kind)
            for text, target in zip(prompts.texts or [], prompts.target, strict=False):
                if text in spellings("Brainstem"):
                    foreign += 1
                    assert not target.any()
                elif example.zoomed_out and target.any():
                    mean_x = torch.nonzero(target)[:, 2].float().mean()
                    assert (text in spellings("liver")) or mean_x < TINY.window[2]
    out = {kind for zoomed_out, kind in seen if zoomed_out}
    assert out == {"points", "box", "text", "text+points", "text+box", "points+box"}
    assert {kind for zoomed_out, kind in seen if not zoomed_out} == {
        "box", "points+box", "text", "text+box",
    }  # fmt: skip
    assert foreign > 0


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


def test_a_tiny_network_learns_a_made_case(folder: Path) -> None:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    source = ExampleSource(case, TINY.window, mirror_names=False)
    rng = np.random.default_rng(0)
    example = source.draw(rng, batches=3, masks=2, strength=augment.NONE)
    torch.manual_seed(0)
    model = SegVol(TINY)
    initialise_from_data(model, [case.image], rng)
    losses: list[float] = []
    trained = train(
        model,
        itertools.repeat([example]),
        LoopSettings(steps=60, learning_rate=2e-3, warmup_steps=10, average_decay=0.9),
        lambda progress, _: losses.append(float(np.mean(list(progress.losses.values())))),
    )
    assert len(losses) == 60
    assert losses[-1] < 0.3 * losses[0]
    with torch.inference_mode():
        embedding = trained.image_encoder(example.image[None, None])
        for prompts in example.prompts:
            texts = prompts.texts
            low = trained.decode(
                embedding,
                points=prompts.points,
                boxes=prompts.boxes,
                text_embedding=None if texts is None else trained.text_encoder(texts),
            )
            predicted = (trained.upscale(low)[:, 0] > 0).numpy()
            assert dice(predicted, prompts.target.numpy()) > 0.8


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
