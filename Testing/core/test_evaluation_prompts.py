"""Prompts made from labels: where a user would click, the exact box, the name."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_strategies import SIGNED_PERMUTATIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_masks import CUBE, block

from segvol_core.errors import SegVolError
from segvol_core.evaluation.label_prompts import (
    PromptKind,
    click,
    deepest_voxel,
    exact_box,
    parse_kinds,
    prompts_from_label,
)
from segvol_core.prompts import place
from segvol_core.volume import Volume

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
