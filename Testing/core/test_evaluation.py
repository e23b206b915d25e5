"""Scores mean what they say: metrics, baselines, prompts made from labels, cases, means."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from geometry_strategies import SIGNED_PERMUTATIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segvol_core.errors import SegVolError
from segvol_core.evaluation import scoring
from segvol_core.evaluation.baselines import Baselines, baselines, inscribed_ellipsoid
from segvol_core.evaluation.cases import (
    CaseFiles,
    LabelledCase,
    Structure,
    cases_of_folder,
    check_wanted,
    choose_structures,
    parse_groups,
    read_case,
)
from segvol_core.evaluation.label_maps import read_label_map
from segvol_core.evaluation.label_prompts import (
    PromptKind,
    click,
    deepest_voxel,
    exact_box,
    parse_kinds,
    prompt_text,
    prompts_from_label,
)
from segvol_core.evaluation.metrics import dice, hausdorff95, surface_dice
from segvol_core.evaluation.scoring import plan_prompts, score_prompts
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import place
from segvol_core.session import Session
from segvol_core.volume import Volume


def block(shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


CUBE = block((20, 20, 20), (5, 5, 5), (15, 15, 15))
NOTHING = np.zeros((20, 20, 20), dtype=bool)


# Metrics


@st.composite
def masks_of_one_shape(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    first, second = (draw(hnp.arrays(bool, shape).filter(np.any)) for _ in range(2))
    return first, second


def test_dice_of_masks_that_share_half_their_voxels_is_a_half() -> None:
    assert dice(CUBE, np.roll(CUBE, 5, axis=0)) == 0.5
    assert dice(CUBE, CUBE) == 1
    assert dice(CUBE, NOTHING) == 0
    assert dice(NOTHING, NOTHING) == 1


def test_a_surface_within_the_tolerance_counts_as_found_and_none_beyond() -> None:
    shifted = np.roll(CUBE, 1, axis=0)
    assert surface_dice(shifted, CUBE, (2.9, 5, 5)) == 1
    # The two faces across the shift, 2 of 6, are missed; what is round their edges is neither.
    assert surface_dice(shifted, CUBE, (3.1, 3.1, 3.1)) == pytest.approx(4 / 6, abs=0.08)
    assert surface_dice(np.roll(CUBE, 5, axis=0), CUBE, (1, 1, 1), tolerance_mm=10) == 1


def test_the_surface_of_a_part_far_away_counts_as_wrong() -> None:
    small = block((20, 20, 20), (2, 2, 2), (5, 5, 5))
    with_another = small | block((20, 20, 20), (14, 14, 14), (17, 17, 17))
    assert surface_dice(with_another, small, (1, 1, 1)) == pytest.approx(2 / 3)


def test_surfaces_of_empty_masks() -> None:
    assert surface_dice(NOTHING, NOTHING, (1, 1, 1)) == 1
    assert surface_dice(NOTHING, CUBE, (1, 1, 1)) == 0
    assert surface_dice(CUBE, NOTHING, (1, 1, 1)) == 0


def test_surfaces_do_not_mind_how_an_array_lies_in_memory() -> None:
    shifted = np.roll(CUBE, 1, axis=1)
    expected = surface_dice(shifted, CUBE, (3.1, 3.1, 3.1))
    flipped = surface_dice(shifted[::-1, :, ::-1], CUBE[::-1, :, ::-1], (3.1, 3.1, 3.1))
    assert flipped == pytest.approx(expected)


def test_the_distance_that_all_but_a_twentieth_of_the_surface_keeps() -> None:
    assert hausdorff95(CUBE, CUBE, (2, 1, 1)) == 0
    # The face that moved is a sixth of the surface.
    assert hausdorff95(np.roll(CUBE, 2, axis=0), CUBE, (2.5, 1, 1)) == pytest.approx(5)
    spike = CUBE.copy()
    spike[15:19, 10, 10] = True
    assert hausdorff95(spike, CUBE, (1, 1, 1)) == 0


@given(masks_of_one_shape(), st.tuples(*[st.floats(0.5, 5)] * 3))
@settings(max_examples=25, deadline=None)
def test_the_distance_is_that_of_all_pairs_of_surface_voxels(
    pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]
) -> None:
    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        outside = [~np.roll(padded, step, axis) for axis in range(3) for step in (1, -1)]
        return np.argwhere(padded & np.any(outside, axis=0)) * spacing

    first, second = (surface(mask) for mask in pair)
    apart = np.linalg.norm(first[:, None] - second[None], axis=-1)
    expected = max(np.percentile(apart.min(axis=axis), 95) for axis in (0, 1))
    assert hausdorff95(*pair, spacing) == pytest.approx(expected, rel=1e-5)


def test_an_empty_mask_is_at_no_distance() -> None:
    assert hausdorff95(NOTHING, CUBE, (1, 1, 1)) is None
    assert hausdorff95(CUBE, NOTHING, (1, 1, 1)) is None
    assert hausdorff95(NOTHING, NOTHING, (1, 1, 1)) == 0


@pytest.mark.parametrize(
    ("module", "metric"),
    [("monai.metrics.surface_dice", surface_dice), ("monai.metrics.utils", hausdorff95)],
)
def test_without_monai_one_is_told_how_to_install_it(
    module: str, metric: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SegVolError, match=r"pip install 'segvol\[evaluate\]'"):
        metric(CUBE, CUBE, (1, 1, 1))


# Baselines


def test_a_box_is_answered_perfectly_by_the_box_and_an_ellipsoid_by_the_ellipsoid() -> None:
    # Of 4 x 4 x 4 voxels, 32 centres are within the inscribed ball: 8 inner and 24 beside them.
    answered = baselines(block((9, 9, 9), (1, 2, 3), (5, 6, 7)))
    assert answered == Baselines(box=1, ellipsoid=2 * 32 / (32 + 64))
    assert answered.better == 1
    ball = np.pad(inscribed_ellipsoid((6, 9, 12)), 3)
    assert baselines(ball).ellipsoid == 1
    assert baselines(ball).box < 0.75


def test_the_inscribed_ellipsoid_fills_its_share_of_the_box() -> None:
    filled = inscribed_ellipsoid((40, 60, 50))
    assert filled.mean() == pytest.approx(np.pi / 6, abs=0.005)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        assert filled.any(axis=others)[[1, -2]].all()


# Prompts from labels

masks = hnp.arrays(bool, st.tuples(*[st.integers(1, 6)] * 3)).filter(np.any)


@given(masks, st.tuples(*[st.floats(0.5, 5)] * 3))
@settings(max_examples=60, deadline=None)
def test_no_voxel_is_deeper_than_the_one_clicked(
    mask: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    outside = np.argwhere(~np.pad(mask, 1)) - 1

    def depth(voxel: np.ndarray) -> float:
        return float(np.linalg.norm((outside - voxel) * spacing, axis=1).min())

    clicked = deepest_voxel(mask, spacing)
    assert mask[tuple(clicked)]
    assert depth(clicked) == pytest.approx(max(depth(voxel) for voxel in np.argwhere(mask)))


def test_a_tube_is_clicked_halfway_and_a_bend_not_beside_itself() -> None:
    tube = block((30, 9, 9), (2, 2, 2), (27, 7, 7))
    assert deepest_voxel(tube, (1, 1, 1)).tolist() == [14, 4, 4]
    bend = block((5, 20, 20), (1, 1, 1), (4, 19, 19)) & ~block((5, 20, 20), (0, 4, 4), (5, 20, 16))
    assert bend[tuple(deepest_voxel(bend, (1, 1, 1)))]


def test_depth_is_measured_in_millimetres() -> None:
    wide_in_voxels = block((12, 30, 30), (3, 2, 2), (8, 28, 9))
    wide_in_mm = wide_in_voxels | block((12, 30, 30), (2, 2, 12), (5, 12, 22))
    assert deepest_voxel(wide_in_mm, (5, 1, 1))[2] > 11
    assert deepest_voxel(wide_in_mm, (0.5, 1, 1))[2] < 9


@pytest.mark.parametrize("axes", [0, 13, 30, 47])
def test_click_and_box_are_the_same_in_the_patient_however_the_file_is_oriented(axes: int) -> None:
    mask = block((9, 12, 15), (1, 2, 3), (6, 9, 14)) & ~block((9, 12, 15), (1, 2, 3), (4, 4, 9))
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = (10, -20, 30)
    upright = Volume(mask.astype(np.int16), affine)

    # The same voxels with axes permuted and flipped, and the matrix that says so.
    order = SIGNED_PERMUTATIONS[axes]
    ijk = mask.transpose(2, 1, 0)
    permutation = [int(np.flatnonzero(row)[0]) for row in order]
    turned = ijk.transpose(permutation)
    to_original = np.eye(4)
    to_original[:3, :3] = 0
    for new, old in enumerate(permutation):
        to_original[old, new] = 1
        if order[new].sum() < 0:
            turned = np.flip(turned, axis=new)
            to_original[old, new] = -1
            to_original[old, 3] = ijk.shape[old] - 1
    turned_mask = turned.transpose(2, 1, 0)
    other = Volume(turned_mask.astype(np.int16), affine @ to_original)

    assert click(other, turned_mask).ras == pytest.approx(click(upright, mask).ras)
    corners = np.array(exact_box(upright, mask).corners)
    other_corners = np.array(exact_box(other, turned_mask).corners)
    assert np.allclose(corners.min(axis=0), other_corners.min(axis=0))
    assert np.allclose(corners.max(axis=0), other_corners.max(axis=0))


def test_the_box_holds_exactly_the_structure() -> None:
    mask = block((9, 12, 15), (1, 2, 3), (6, 9, 14))
    volume = Volume(mask.astype(np.int16), np.diag([-0.7, -0.7, 2.5, 1]))
    prompts = prompts_from_label(volume, mask, "liver", PromptKind.BOX)
    placed = place(prompts, volume.canonical())
    low, high = placed.box_zyx[:3], placed.box_zyx[3:]
    filled = np.zeros_like(mask)
    filled[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] = True
    assert (volume.canonical().restore(filled) == mask).all()


@pytest.mark.parametrize("kind", list(PromptKind))
def test_a_prompt_says_what_its_kind_says_and_nothing_else(kind: PromptKind) -> None:
    volume = Volume(CUBE.astype(np.int16), np.eye(4))
    prompts = prompts_from_label(volume, CUBE, "kidney_left", kind)
    assert prompts is not None
    said = {"point": bool(prompts.points), "box": prompts.box is not None, "text": prompts.text}
    expected = {"point"} if kind is PromptKind.POINTS5 else set(kind.value.split("+"))
    assert {part for part, value in said.items() if value} == expected == kind.parts
    assert kind.clicks == (5 if kind is PromptKind.POINTS5 else len(prompts.points))
    if prompts.text:
        assert prompts.text == "left kidney"


def test_a_structure_that_the_vocabulary_lacks_has_no_prompt_with_text() -> None:
    volume = Volume(CUBE.astype(np.int16), np.eye(4))
    assert prompts_from_label(volume, CUBE, "ptv56", PromptKind.TEXT_BOX) is None
    assert prompts_from_label(volume, CUBE, "ptv56", PromptKind.BOX) is not None


def test_kinds_are_read_from_a_list() -> None:
    assert parse_kinds("box, point,box+text,box") == [
        PromptKind.BOX,
        PromptKind.POINT,
        PromptKind.TEXT_BOX,
    ]
    assert parse_kinds("points5, point") == [PromptKind.POINTS5, PromptKind.POINT]
    assert parse_kinds("all") == list(PromptKind)
    for wrong in ("box,scribble", "", "box+point+text", "points5+box"):
        with pytest.raises(SegVolError):
            parse_kinds(wrong)


# Cases


def test_label_maps_are_read_from_json_and_csv(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"liver": 5, "spleen": 1}')
    (tmp_path / "b.csv").write_text(
        "group,original_idx,structure,id\norgans,9,liver,5\n\n", "utf-8-sig"
    )
    (tmp_path / "c.csv").write_text("value,name\n5,liver\n")
    assert read_label_map(tmp_path / "a.json") == {"liver": 5, "spleen": 1}
    assert read_label_map(tmp_path / "b.csv") == {"liver": 5}
    assert read_label_map(tmp_path / "c.csv") == {"liver": 5}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"[1, 2]"),
        ("a.json", b"{"),
        ("a.json", b'{"liver": "five"}'),
        ("a.json", b"{}"),
        ("a.csv", b""),
        ("a.csv", b"colour,id\nred,1\n"),
        ("a.csv", b"structure\nliver\n"),
        ("a.csv", b"structure,id\nliver,\n"),
        ("a.csv", b"structure,id\nliver\n"),
        ("a.csv", b"structure,id\nliver,1\nliver,2\n"),
        ("a.csv", b"structure,id\n,1\n"),
        ("a.csv", b"\xff\xfe\x00\x80"),
    ],
)
def test_what_is_no_label_map_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SegVolError, match=name):
        read_label_map(tmp_path / name)


def test_a_missing_label_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(SegVolError, match=r"gone\.csv"):
        read_label_map(tmp_path / "gone.csv")


def write_image(path: Path, voxels_kji: np.ndarray, orientation: str = "LPS") -> None:
    image = SimpleITK.GetImageFromArray(voxels_kji)
    image.SetSpacing((2.0, 2.0, 3.0))
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path))


def ct_and_labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    hounsfield = rng.normal(-600, 150, (12, 40, 40))
    labels = np.zeros((12, 40, 40), dtype=np.uint8)
    labels[3:9, 8:20, 10:24] = 1
    labels[0:5, 25:33, 5:15] = 2
    labels[10, 36:38, 36:38] = 3
    labels[2:7, 22:30, 25:35] = 4
    return (hounsfield + 700 * (labels > 0)).astype(np.int16), labels


LABEL_VALUES = {"liver": 1, "spleen": 2, "duodenum": 3, "unheard_of": 4, "heart": 9}


def files(folder: Path, name: str = "case") -> CaseFiles:
    return CaseFiles(name, folder / "ct.nii.gz", folder / "labels.nii.gz", LABEL_VALUES)


def test_labels_are_put_on_the_voxels_of_the_ct_whatever_the_order_of_their_axes(
    tmp_path: Path,
) -> None:
    hounsfield, labels = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", hounsfield, "LPS")
    write_image(tmp_path / "labels.nii.gz", labels.astype(np.float32), "ASR")
    case = read_case(files(tmp_path))
    assert (case.labels == labels).all()
    assert case.spacing_kji == (3, 2, 2)
    assert (case.mask(Structure("both", (1, 2))) == np.isin(labels, (1, 2))).all()


def test_labels_that_do_not_fit_the_ct_are_refused(tmp_path: Path) -> None:
    hounsfield, labels = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", hounsfield)
    for wrong, message in (
        (labels[1:], "do not lie on the voxels"),
        (labels + np.float32(0.5), "no whole numbers"),
        (labels * 0, "labels of case: All voxels"),
    ):
        write_image(tmp_path / "labels.nii.gz", wrong)
        with pytest.raises(SegVolError, match=message):
            read_case(files(tmp_path))
    moved = SimpleITK.GetImageFromArray(labels)
    moved.SetSpacing((2.0, 2.0, 3.0))
    moved.SetOrigin((1.0, 0.0, 0.0))
    SimpleITK.WriteImage(moved, str(tmp_path / "labels.nii.gz"))
    with pytest.raises(SegVolError, match="do not lie on the voxels"):
        read_case(files(tmp_path))


def test_cases_of_a_folder_are_those_with_labels_in_the_split(tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").touch()
    common = {"image": "ct.nii.gz", "label_map": {"liver": 1}}
    records = [
        {"case": "a", "split": "train", "labels": "ct.nii.gz", **common},
        {"case": "b", "split": "validation", "labels": "ct.nii.gz", **common},
        {"case": "c", "split": "validation", "labels": None, **common},
    ]
    (tmp_path / "index.json").write_text(json.dumps(records))
    assert [case.name for case in cases_of_folder(tmp_path)] == ["a", "b"]
    assert [case.name for case in cases_of_folder(tmp_path, "validation")] == ["b"]
    with pytest.raises(SegVolError, match="“test”; it has train, validation"):
        cases_of_folder(tmp_path, "test")
    with pytest.raises(SegVolError, match=r"no index\.json"):
        cases_of_folder(tmp_path / "elsewhere")


def test_structures_are_chosen_by_name_pattern_or_what_people_call_them() -> None:
    values = {"lung_upper_lobe_left": 1, "lung_lower_lobe_left": 2, "kidney_left": 3, "liver": 4}

    def names(*wanted: str) -> list[str]:
        return [structure.name for structure in choose_structures(values, wanted)]

    assert names() == list(values)
    assert names("lung_*") == ["lung_upper_lobe_left", "lung_lower_lobe_left"]
    assert names("Left Kidney", "LIVER") == ["kidney_left", "liver"]
    assert names("spleen") == []
    groups = parse_groups(["left lung=lung_*_left"])
    assert choose_structures(values, (), groups) == [Structure("left lung", (1, 2))]
    assert choose_structures(values, ("liver",), groups) == [
        Structure("liver", (4,)),
        Structure("left lung", (1, 2)),
    ]


def test_a_structure_that_no_case_has_is_named() -> None:
    case = CaseFiles("a", Path("ct"), Path("labels"), {"liver": 1})
    check_wanted([case], ["liver", "li*"])
    with pytest.raises(SegVolError, match=r"labelled for splen\. The labels are liver"):
        check_wanted([case], ["liver", "splen"])


@pytest.mark.parametrize("wrong", ["lungs", "=a", "lungs=", "lungs= , "])
def test_what_is_no_group_is_refused(wrong: str) -> None:
    with pytest.raises(SegVolError, match="is no group"):
        parse_groups([wrong])
    with pytest.raises(SegVolError, match="is no group"):
        parse_groups(["a=b", "a=c"])


# Scores


@pytest.fixture(scope="module")
def case() -> LabelledCase:
    hounsfield, labels = ct_and_labels()
    return LabelledCase("made", Volume(hounsfield, np.diag([-2.0, -2.0, 3.0, 1.0])), labels)


STRUCTURES = choose_structures(LABEL_VALUES)


def test_tiny_and_absent_structures_are_left_out_and_cut_off_ones_kept(case: LabelledCase) -> None:
    planned = plan_prompts(case, STRUCTURES, [PromptKind.TEXT, PromptKind.BOX])
    assert [(each.structure.name, each.kind.value) for each in planned] == [
        ("liver", "text"),
        ("liver", "box"),
        ("spleen", "text"),
        ("spleen", "box"),
        ("unheard_of", "box"),
    ]
    tiny = plan_prompts(case, STRUCTURES, [PromptKind.BOX], min_voxels=4)
    assert "duodenum" in [each.structure.name for each in tiny]


def test_the_place_of_the_right_name_is_that_of_the_session(
    case: LabelledCase, small: SegVol
) -> None:
    planned = plan_prompts(case, STRUCTURES, [PromptKind.BOX, PromptKind.TEXT])
    session = Session(small, case.volume)
    asked = 0
    for prompt, score in zip(
        planned, score_prompts(small, case, planned, identify=True), strict=True
    ):
        if prompt.kind is PromptKind.TEXT:
            assert score.name_rank is None
            continue
        asked += 1
        mask = session.mask(prompt.prompts)
        names = [naming.organ.prompt for naming in session.identify(mask)] if mask.any() else []
        text = prompt_text(prompt.structure.name)
        assert score.name_rank == (names.index(text) + 1 if text in names else 0)
    assert asked
    assert all(score.name_rank is None for score in score_prompts(small, case, planned))


def test_scores_are_those_of_the_masks_that_a_session_gives(
    case: LabelledCase, small: SegVol
) -> None:
    planned = plan_prompts(case, STRUCTURES, [PromptKind.POINT, PromptKind.BOX])
    scores = list(score_prompts(small, case, planned, ("lattice", "published")))
    assert len(scores) == 2 * len(planned)
    sessions = {
        placement: Session(small, case.volume, windows=placement)
        for placement in ("lattice", "published")
    }
    for prompt, pair in zip(planned, zip(scores[::2], scores[1::2], strict=True), strict=True):
        label = case.mask(prompt.structure)
        answers = {place: session.mask(prompt.prompts) for place, session in sessions.items()}
        for score in pair:
            mask = answers[score.windows]
            assert score.dice == dice(mask, label)
            assert score.surface_dice == surface_dice(mask, label, (3, 2, 2))
            assert score.baselines == baselines(label)
            assert score.label_ml == pytest.approx(label.sum() * 12 / 1000)
            assert score.answer_ml == pytest.approx(mask.sum() * 12 / 1000)
            empty = not any(mask.any() for mask in answers.values())
            assert score.agreement == (None if empty else dice(*answers.values()))
            assert score.hausdorff95 == hausdorff95(mask, label, case.spacing_kji)
            assert score.seconds > 0
            assert score.dice_after_clicks == ()
            assert score.cut_off == (score.structure == "spleen")
    assert [score.first_prompt for score in scores] == [True, True, *[False] * (len(scores) - 2)]


def test_empty_masks_of_two_placements_are_no_agreement(
    case: LabelledCase, small: SegVol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "mask", lambda *_: np.zeros(case.labels.shape, dtype=bool))
    planned = plan_prompts(case, STRUCTURES[:1], [PromptKind.BOX])
    scores = list(score_prompts(small, case, planned, ("lattice", "published")))
    assert [each.agreement for each in scores] == [None, None]
    assert [each.dice for each in scores] == [0, 0]


def test_seconds_of_the_first_prompt_include_preparing_the_volume(
    case: LabelledCase, small: SegVol, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1000))
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: next(now) * 1.0)
    made_at: list[float] = []

    class Watched(Session):
        def __init__(self, *arguments: object, **options: object) -> None:
            made_at.append(next(now))
            super().__init__(*arguments, **options)

    monkeypatch.setattr(scoring, "Session", Watched)
    planned = plan_prompts(case, STRUCTURES[:2], [PromptKind.BOX])
    first, second = score_prompts(small, case, planned)
    assert len(made_at) == 1
    assert (first.seconds, second.seconds) == (2, 1)
