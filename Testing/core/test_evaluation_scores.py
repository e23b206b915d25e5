"""Scores are those of the masks that a session gives."""

from __future__ import annotations

import numpy as np
import pytest
from made_masks import LABEL_VALUES, ct_and_labels

from segvol_core.evaluation import scoring
from segvol_core.evaluation.baselines import baselines
from segvol_core.evaluation.cases import LabelledCase
from segvol_core.evaluation.label_prompts import PromptKind, prompt_text
from segvol_core.evaluation.metrics import dice, hausdorff95, surface_dice
from segvol_core.evaluation.scoring import plan_prompts, score_prompts
from segvol_core.evaluation.structures import choose_structures
from segvol_core.model.segvol import SegVol
from segvol_core.session import Session
from segvol_core.volume import Volume


@pytest.fixture(scope="module")
def case() -> LabelledCase:
    hounsfield, labels = ct_and_labels()
    volume = Volume(hounsfield, np.diag([-2.0, -2.0, 3.0, 1.0]))
    values = {name: (value,) for name, value in LABEL_VALUES.items()}
    return LabelledCase("made", volume, labels, values)


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
