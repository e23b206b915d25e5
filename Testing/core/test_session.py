"""A session answers the same prompt with the same mask, and encodes a window only once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_figures import DATA
from small_config import SMALL

from segvol_core.embeddings import WindowEncoder
from segvol_core.errors import PromptError, SegVolWarning, VolumeError
from segvol_core.inference import Stage
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Box, Point, Prompts, point_from_ijk
from segvol_core.session import NOTHING_FOUND, Session
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume
from segvol_core.zoom import lattice_windows


@pytest.fixture(scope="module")
def ct() -> Volume:
    return read_volume(DATA / "ct_crop.nii.gz")


@pytest.fixture
def counted(small: SegVol) -> Iterator[Callable[[], int]]:
    """How many windows the image encoder has seen."""
    seen: list[int] = []
    handle = small.image_encoder.register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0].shape[0])
    )
    yield lambda: sum(seen)
    handle.remove()


def prompts_on(volume: Volume) -> dict[str, Prompts]:
    """One of each kind, at the same voxels of the volume whatever its orientation."""
    size = np.array(volume.canonical().shape_zyx)
    place = volume.canonical().ras_of_zyx
    middle = Point(tuple(place(size // 2)))
    beside = Point(tuple(place(size // 3)), positive=False)
    corners = [
        place(np.where(c, size * 2 // 3, size // 4)) for c in itertools.product((0, 1), repeat=3)
    ]
    box = Box.from_corners(np.array(corners))
    return {
        "point": Prompts(points=(middle,)),
        "points": Prompts(points=(middle, beside)),
        "box": Prompts(box=box),
        "text": Prompts(text="liver"),
        "all": Prompts(points=(middle, beside), box=box, text="spleen"),
    }


KINDS = ("point", "points", "box", "text", "all")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("windows", ["lattice", "published"])
def test_a_coarse_mask_comes_first_and_the_final_mask_last(
    kind: str, windows: str, small: SegVol, ct: Volume
) -> None:
    updates = list(Session(small, ct, windows=windows).segment(prompts_on(ct)[kind]))
    assert updates[0].stage is Stage.COARSE
    assert updates[-1].stage is Stage.FINAL
    assert updates[-1].fraction == 1.0
    for update in (updates[0], updates[-1]):
        assert update.mask.shape == ct.shape_kji
        assert update.mask.dtype == bool


@pytest.fixture(scope="module")
def answers(small: SegVol, ct: Volume) -> dict[str, np.ndarray]:
    """Each prompt's mask from a session that was asked nothing else."""
    return {kind: Session(small, ct).mask(prompt) for kind, prompt in prompts_on(ct).items()}


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=5))
def test_what_was_asked_before_does_not_change_a_mask(
    asked: list[tuple[str, bool]], small: SegVol, ct: Volume, answers: dict[str, np.ndarray]
) -> None:
    session = Session(small, ct)
    for kind, finish in asked:
        updates = session.segment(prompts_on(ct)[kind])
        if not finish:
            next(updates)
            updates.close()
            continue
        *_, final = updates
        np.testing.assert_array_equal(final.mask, answers[kind])


def test_several_segments_at_once_equal_one_by_one(
    small: SegVol, ct: Volume, answers: dict[str, np.ndarray], counted: Callable[[], int]
) -> None:
    session = Session(small, ct)
    finals = {
        update.index: update.mask
        for update in session.segment_many(list(prompts_on(ct).values()))
        if update.stage is Stage.FINAL
    }
    for index, kind in enumerate(KINDS):
        np.testing.assert_array_equal(finals[index], answers[kind])
    whole = tuple(session._prepared.image.shape)
    assert counted() <= 1 + len(lattice_windows(whole, small.config.window))


def test_a_second_prompt_encodes_nothing_again(
    small: SegVol, ct: Volume, counted: Callable[[], int]
) -> None:
    session = Session(small, ct)
    for _ in session.encode_ahead():
        pass
    session.mask(Prompts(text="liver"))
    before = counted()
    for prompt in prompts_on(ct).values():
        session.mask(prompt)
    assert counted() == before


def test_encoding_ahead_reports_its_progress(small: SegVol, ct: Volume) -> None:
    fractions = list(Session(small, ct).encode_ahead())
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_encoding_ahead_stops_when_the_memory_is_full(small: SegVol, ct: Volume) -> None:
    one = small.config.tokens * small.config.width * 4
    session = Session(small, ct, cache_bytes=3 * one)
    assert list(session.encode_ahead())[-1] < 1.0
    assert session._encoder.cache.used_bytes <= 3 * one


def test_no_window_is_encoded_ahead_where_few_prompts_need_one(ct: Volume) -> None:
    config = replace(SMALL, prompt_priors=True, region_network_width=4, name_network_width=4)
    session = Session(SegVol(config).eval(), ct)
    assert list(session.encode_ahead()) == [1.0]
    assert session._encoder.cache.used_bytes == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_memory_budget_changes_no_mask(
    kind: str, small: SegVol, ct: Volume, answers: dict[str, np.ndarray]
) -> None:
    for budget in (0, 3 * small.config.tokens * small.config.width * 4):
        mask = Session(small, ct, cache_bytes=budget).mask(prompts_on(ct)[kind])
        np.testing.assert_array_equal(mask, answers[kind])


def reoriented(volume: Volume, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same scene stored with other axes: voxels (k, j, i) permuted and flipped."""
    to_ras = volume.ijk_to_ras.copy()
    columns, origin = to_ras[:3, :3], to_ras[:3, 3].copy()
    size_ijk = np.array(volume.shape_kji[::-1])
    voxels = volume.voxels
    for i in range(3):
        if flips[i]:
            voxels = np.flip(voxels, axis=2 - i)
            origin += columns[:, i] * (size_ijk[i] - 1)
            columns[:, i] *= -1
    to_ras[:3, :3] = columns[:, list(axes)]
    to_ras[:3, 3] = origin
    kji = [2 - axis for axis in reversed(axes)]
    return Volume(np.ascontiguousarray(voxels.transpose(kji)), to_ras)


ORIENTATIONS = [
    ((0, 1, 2), (True, True, False)),
    ((0, 1, 2), (True, False, False)),
    ((0, 1, 2), (False, False, True)),
    ((1, 2, 0), (False, True, False)),
    ((2, 0, 1), (True, False, True)),
    ((1, 0, 2), (False, False, False)),
    ((0, 2, 1), (True, True, True)),
    ((2, 1, 0), (False, True, True)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_the_orientation_of_the_file_does_not_move_the_segment(
    axes: tuple[int, ...],
    flips: tuple[bool, ...],
    kind: str,
    small: SegVol,
    ct: Volume,
    answers: dict[str, np.ndarray],
) -> None:
    other = reoriented(ct, axes, flips)
    mask = Session(small, other).mask(prompts_on(ct)[kind])
    back = other.canonical(), ct.canonical()
    in_world = Volume(mask.astype(np.uint8), other.ijk_to_ras).canonical()
    expected = Volume(answers[kind].astype(np.uint8), ct.ijk_to_ras).canonical()
    np.testing.assert_allclose(back[0].zyx_to_ras, back[1].zyx_to_ras, atol=1e-9)
    np.testing.assert_array_equal(in_world.voxels, expected.voxels)


@pytest.mark.parametrize("kind", KINDS)
def test_an_oblique_volume_gives_the_same_segment(
    kind: str, small: SegVol, ct: Volume, answers: dict[str, np.ndarray]
) -> None:
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = Volume(ct.voxels, turn @ ct.ijk_to_ras)
    mask = Session(small, oblique).mask(prompts_on(oblique)[kind])
    np.testing.assert_array_equal(mask, answers[kind])


def test_a_negative_click_is_heard(small: SegVol, ct: Volume) -> None:
    session = Session(small, ct)
    prompts = prompts_on(ct)
    assert (session.mask(prompts["point"]) != session.mask(prompts["points"])).any()


def test_a_click_outside_is_an_error_before_anything_is_computed(
    small: SegVol, ct: Volume, counted: Callable[[], int]
) -> None:
    with pytest.raises(PromptError, match="outside the volume"):
        Session(small, ct).segment(Prompts(points=(Point((1e4, 0, 0)),)))
    assert counted() == 0


def test_a_click_on_every_corner_voxel_is_answered(small: SegVol, ct: Volume) -> None:
    session = Session(small, ct)
    last_ijk = np.array(ct.shape_kji[::-1]) - 1
    for corner in itertools.product((0, 1), repeat=3):
        point = point_from_ijk(ct, tuple(last_ijk * corner), True)
        *_, final = session.segment(Prompts(points=(point,)))
        assert final.message is None


def test_a_constant_volume_has_nothing_to_segment(small: SegVol) -> None:
    with pytest.raises(VolumeError, match="nothing to segment"):
        Session(small, Volume(np.zeros((4, 40, 40), np.int16), np.eye(4)))


def test_finding_nothing_is_said(
    small: SegVol, ct: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(small), "decode", lambda self, embedding, **_: torch.full((1, 1, 8, 16, 16), -1.0)
    )
    updates = list(Session(small, ct).segment(Prompts(text="liver")))
    assert [update.message for update in updates] == [NOTHING_FOUND] * 2
    assert not updates[-1].mask.any()


def test_a_gpu_without_enough_memory_goes_on_with_smaller_batches(
    small: SegVol, ct: Volume, answers: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WindowEncoder, "_first_batch", lambda _self: 4)
    session = Session(small, ct)
    encode = type(small.image_encoder).forward

    def too_large(self: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
        if image.shape[0] > 1:
            raise torch.OutOfMemoryError
        return encode(self, image)

    monkeypatch.setattr(type(small.image_encoder), "forward", too_large)
    with pytest.warns(SegVolWarning, match="memory is short"):
        mask = session.mask(prompts_on(ct)["all"])
    np.testing.assert_array_equal(mask, answers["all"])


def test_batches_of_windows_give_the_mask_of_single_ones(
    small: SegVol, ct: Volume, answers: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WindowEncoder, "_first_batch", lambda _self: 4)
    mask = Session(small, ct).mask(prompts_on(ct)["box"])
    different = (mask != answers["box"]).sum()
    assert different <= 1e-4 * mask.size


def test_half_precision_gives_nearly_the_same_mask(
    small: SegVol, ct: Volume, answers: dict[str, np.ndarray]
) -> None:
    mask = Session(small, ct, precision="bfloat16").mask(prompts_on(ct)["box"])
    other = answers["box"]
    assert 2 * (mask & other).sum() / (mask.sum() + other.sum()) > 0.98


@pytest.mark.parametrize("windows", ["lattice", "published"])
@pytest.mark.parametrize("slices", [2, 3, 8, 9])
def test_a_volume_of_few_slices_is_answered(
    slices: int, windows: str, small: SegVol, ct: Volume
) -> None:
    slab = Volume(ct.voxels[10 : 10 + slices], ct.ijk_to_ras)
    session = Session(small, slab, windows=windows)
    for prompt in prompts_on(slab).values():
        assert session.mask(prompt).shape == slab.shape_kji
    assert list(session.encode_ahead())[-1:] in ([1.0], [])
