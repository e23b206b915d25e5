"""Clicks go where a user would click next: the centre of the largest error, with its sign."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from segvol_core.evaluation.cases import LabelledCase
from segvol_core.evaluation.clicks import answers_to_clicks, correcting_click
from segvol_core.evaluation.label_prompts import PromptKind, click
from segvol_core.evaluation.metrics import dice
from segvol_core.evaluation.scoring import plan_prompts, score_prompts
from segvol_core.evaluation.structures import Structure
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts, place
from segvol_core.session import Session
from segvol_core.volume import Volume

SHAPE = (12, 20, 20)
VOLUME = Volume(np.zeros(SHAPE, dtype=np.int16), np.diag([-2.0, -2.0, 3.0, 1.0]))


def block(low: tuple[int, ...], high: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


LABEL = block((2, 4, 4), (9, 15, 15))


def voxel(prompts: Prompts, number: int) -> tuple[int, ...]:
    """Voxel (k, j, i) of a point: `place` counts it in upright axes."""
    upright = np.zeros(SHAPE, dtype=bool)
    upright[tuple(place(prompts, VOLUME.canonical()).points_zyx[number])] = True
    return tuple(np.argwhere(VOLUME.canonical().restore(upright))[0].tolist())


def test_what_was_missed_is_clicked_in_its_middle_and_what_is_wrong_negatively() -> None:
    missed_most = LABEL & ~block((3, 5, 5), (8, 10, 10)) | block((0, 0, 0), (3, 3, 3))
    point = correcting_click(VOLUME, LABEL, missed_most)
    assert point is not None
    assert point.positive
    assert voxel(Prompts(points=(point,)), 0) == (5, 7, 7)

    wrong_most = LABEL & ~block((3, 5, 5), (4, 6, 6)) | block((0, 16, 0), (3, 19, 3))
    point = correcting_click(VOLUME, LABEL, wrong_most)
    assert point is not None
    assert not point.positive
    assert voxel(Prompts(points=(point,), text="liver"), 0) == (1, 17, 1)


def test_the_largest_part_counts_and_not_the_sum_of_small_ones() -> None:
    # 3 x 27 voxels too much against 64 missed in one piece; corners do not connect.
    scattered = [block((0, 0, n), (3, 3, n + 3)) for n in (0, 16)]
    answer = LABEL & ~block((3, 5, 5), (7, 9, 9))
    answer = answer | scattered[0] | scattered[1] | block((9, 0, 8), (12, 3, 11))
    point = correcting_click(VOLUME, LABEL, answer)
    assert point is not None
    assert point.positive


def test_a_perfect_answer_is_not_clicked_on() -> None:
    assert correcting_click(VOLUME, LABEL, LABEL) is None


masks = hnp.arrays(bool, (3, 4, 5))


@given(masks, masks)
@settings(max_examples=80, deadline=None)
def test_every_click_lies_on_an_error_and_says_which(label: np.ndarray, answer: np.ndarray) -> None:
    volume = Volume(np.zeros((3, 4, 5), dtype=np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    point = correcting_click(volume, label, answer)
    if point is None:
        assert (label == answer).all()
        return
    i, j, k = np.rint(volume.ijk_of_ras([point.ras])[0]).astype(int)
    assert label[k, j, i] == point.positive
    assert answer[k, j, i] != point.positive


@pytest.mark.parametrize("clicks", [1, 5])
def test_each_answer_gets_all_clicks_so_far(clicks: int) -> None:
    asked: list[Prompts] = []

    def answer(prompts: Prompts) -> np.ndarray:
        asked.append(prompts)
        return block((2, 4, 4), (9, 15, 4 + 2 * len(asked)))

    first = Prompts(points=(click(VOLUME, LABEL),))
    answers = list(answers_to_clicks(answer, VOLUME, LABEL, first, clicks))
    assert len(answers) == len(asked) == clicks
    assert [len(prompts.points) for prompts in asked] == list(range(1, clicks + 1))
    assert all(later.points[:-1] == asked[n].points for n, later in enumerate(asked[1:]))
    assert all(point.positive for point in asked[-1].points)


def test_after_a_perfect_answer_nobody_clicks_on() -> None:
    asked: list[Prompts] = []

    def answer(prompts: Prompts) -> np.ndarray:
        asked.append(prompts)
        return LABEL if len(asked) == 2 else LABEL & block((0, 0, 0), (12, 20, 9))

    first = Prompts(points=(click(VOLUME, LABEL),))
    answers = list(answers_to_clicks(answer, VOLUME, LABEL, first, 5))
    assert len(asked) == 2
    assert [(mask == LABEL).all() for mask in answers] == [False, True, True, True, True]


def test_scores_keep_the_dice_after_each_of_five_clicks(small: SegVol) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 40, 40), dtype=np.uint8)
    labels[3:9, 8:20, 10:24] = 1
    hounsfield = (rng.normal(-600, 150, labels.shape) + 700 * (labels > 0)).astype(np.int16)
    volume = Volume(hounsfield, np.diag([-2.0, -2.0, 3.0, 1.0]))
    case = LabelledCase("made", volume, labels, {"liver": (1,)})
    kinds = [PromptKind.POINT, PromptKind.POINTS5]
    planned = plan_prompts(case, [Structure("liver", ("liver",))], kinds)
    one, five = score_prompts(small, case, planned)

    label = labels == 1
    session = Session(small, case.volume)
    prompts = planned[0].prompts
    expected = []
    for _ in range(5):
        mask = session.mask(prompts)
        expected.append(dice(mask, label))
        point = correcting_click(case.volume, label, mask)
        prompts = Prompts(points=(*prompts.points, *([] if point is None else [point])))
    assert five.dice_after_clicks == tuple(expected)
    assert (five.dice, one.dice) == (expected[-1], expected[0])
    assert len(set(expected)) > 1
    assert one.dice_after_clicks == ()
    assert (one.first_prompt, five.first_prompt) == (True, False)
