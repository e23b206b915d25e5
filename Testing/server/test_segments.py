"""Prompts sent to a server give the masks they give here, coarse first; and can be taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import torch
from running_server import (
    CLIENT,
    RunningServer,
    StepByStep,
    final_masks,
    one_mask,
    running_server,
    until,
)
from small_network import SMALL, point, prompts_of_every_kind, small_network, small_volume

from segvol_core.client import RemoteSession, RemoteStage
from segvol_core.errors import PromptError
from segvol_core.islands import largest_island
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Box, Point, Prompts
from segvol_core.server.worker import _PROGRESS_SECONDS
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.zoom import lattice_windows

KINDS = list(prompts_of_every_kind(small_volume()))


@pytest.fixture(scope="module")
def session(server: RunningServer, volume: Volume) -> RemoteSession:
    return server.session(volume)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_the_one_of_this_process_bit_for_bit(
    session: RemoteSession, volume: Volume, here: Session, kind: str
) -> None:
    prompts = prompts_of_every_kind(volume)[kind]
    expected = here.mask(prompts)
    assert 0 < expected.mean() < 1
    assert np.array_equal(one_mask(session, prompts), expected)


def test_segments_asked_for_together_are_as_if_asked_for_one_by_one(
    session: RemoteSession, volume: Volume, here: Session
) -> None:
    wanted = prompts_of_every_kind(volume)
    masks = final_masks(session.segment(wanted))
    assert sorted(masks) == sorted(wanted)
    for kind, prompts in wanted.items():
        assert np.array_equal(masks[kind], here.mask(prompts)), kind


def test_a_coarse_mask_comes_first_then_progress_then_the_final_mask(
    server: RunningServer, volume: Volume, here: Session, steps: StepByStep
) -> None:
    prompts = prompts_of_every_kind(volume)["point"]
    expected = list(Session(small_network(), volume).segment(prompts))
    session = server.session(volume)
    session.request({"a": prompts})
    seen = []
    while session.waiting_for:
        # One window at a time, so that each of the server's updates is seen.
        held = steps.held
        seen += session.poll(0.0 if held else 0.02)
        if held:
            time.sleep(_PROGRESS_SECONDS)  # It says no more often how far it is.
            steps.allow(1)
    stages = [update.stage for update in seen if update.stage is not RemoteStage.UPLOAD]
    assert stages[0] in (RemoteStage.PROGRESS, RemoteStage.COARSE)
    assert stages.count(RemoteStage.COARSE) == 1
    assert stages[-1] is RemoteStage.FINAL
    after_coarse = stages[stages.index(RemoteStage.COARSE) + 1 :]
    assert RemoteStage.PROGRESS in after_coarse
    coarse = next(update for update in seen if update.stage is RemoteStage.COARSE)
    assert np.array_equal(coarse.mask.whole(), expected[0].mask)
    fractions = [update.fraction for update in seen if update.segment == "a"]
    assert fractions == sorted(fractions)
    assert any(0 < fraction < 1 for fraction in fractions)
    assert fractions[-1] == 1


def test_a_newer_request_for_a_segment_replaces_the_running_one(
    server: RunningServer, volume: Volume, here: Session, steps: StepByStep
) -> None:
    older, newer = (prompts_of_every_kind(volume)[kind] for kind in ("text", "point"))
    # The older one would take all windows of the volume; it is stopped after the one it is at.
    session = server.session(volume)
    session.request({"a": older})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    steps.allow(2)
    until(lambda: steps.windows == 2)
    replaced = session._wanted["a"].request
    session.request({"a": newer})
    session.poll()
    state = server.engine.request(session._connection.client, replaced).state
    assert state.value == "superseded"
    steps.release()
    finals = []
    while session.waiting_for:
        finals += [each for each in session.poll(0.5) if each.stage is RemoteStage.FINAL]
    assert len(finals) == 1
    assert np.array_equal(finals[0].mask.whole(), expected_mask(volume, newer))
    assert server.engine.request(session._connection.client, replaced).mask is None


def expected_mask(volume: Volume, prompts: Prompts) -> np.ndarray:
    return Session(small_network(), volume).mask(prompts)


def windows_of(volume: Volume, steps: StepByStep) -> int:
    """How many windows zoom-in on the whole volume has."""

    return len(lattice_windows(volume.shape_kji, SMALL.window))


def test_a_replaced_request_stops_after_the_window_it_is_at(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    whole = prompts_of_every_kind(volume)["text"]
    session.request({"a": whole})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    steps.allow(2)
    until(lambda: steps.windows == 2)
    session.cancel("a")
    session.poll()
    steps.release()
    until(lambda: not server.engine._queue)
    assert steps.windows <= 3 < windows_of(volume, steps)


def test_a_waiting_request_is_replaced_without_being_computed(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    texts = ["liver", "spleen", "aorta", "pancreas", "stomach"]
    for text in texts:
        session.request({"a": Prompts(text=text)})
    until(lambda: session.poll() and session.uploaded)
    for text in texts:
        session.request({"a": Prompts(text=text)})
        session.poll()
    steps.release()
    finals = []
    while session.waiting_for:
        finals += [each for each in session.poll(0.5) if each.stage is RemoteStage.FINAL]
    assert len(finals) == 1
    assert np.array_equal(finals[0].mask.whole(), expected_mask(volume, Prompts(text=texts[-1])))


def test_replacing_one_segment_of_many_leaves_the_others_alone(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    session.request({text: Prompts(text=text) for text in ("liver", "spleen", "aorta")})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    steps.allow(2)
    until(lambda: steps.windows == 2)
    click = Prompts(points=(point(volume, 9, 20, 22),))
    session.request({"spleen": click})
    steps.release()
    masks = {}
    while session.waiting_for:
        for update in session.poll(0.5):
            if update.stage is RemoteStage.FINAL:
                assert update.segment not in masks
                masks[update.segment] = update.mask.whole()
    assert np.array_equal(masks["spleen"], expected_mask(volume, click))
    for text in ("liver", "aorta"):
        assert np.array_equal(masks[text], expected_mask(volume, Prompts(text=text)))


def test_a_cancelled_segment_is_never_heard_of_again(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    session.request({"a": Prompts(text="liver"), "b": Prompts(text="aorta")})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    session.cancel("a")
    session.cancel("never asked for")
    steps.release()
    updates = []
    while session.waiting_for:
        updates += session.poll(0.5)
    assert {update.segment for update in updates} - {None} == {"b"}


def test_stopping_the_iteration_cancels_on_the_server(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    updates = session.segment({"a": Prompts(text="liver")}, wait_seconds=0.05)
    steps.allow(1)
    assert next(update for update in updates if update.stage is RemoteStage.COARSE)
    updates.close()
    assert session.waiting_for == []
    _, requests = server.engine.changed_requests(session._connection.client, 0)
    assert [request.state.value for request in requests] == ["cancelled"]


def test_a_prompt_outside_the_volume_fails_alone_with_the_sentence_of_the_core(
    session: RemoteSession, volume: Volume, here: Session
) -> None:
    outside = Prompts(points=(Point((500.0, 0.0, 0.0)),))
    with pytest.raises(PromptError) as raised:
        here.segment(outside)
    good = prompts_of_every_kind(volume)["box"]
    updates = list(session.segment({"bad": outside, "good": good}))
    failed = [update for update in updates if update.stage is RemoteStage.FAILED]
    assert [update.segment for update in failed] == ["bad"]
    assert isinstance(failed[0].error, PromptError)
    assert str(failed[0].error) == str(raised.value)
    final = next(update for update in updates if update.stage is RemoteStage.FINAL)
    assert np.array_equal(final.mask.whole(), here.mask(good))


def test_more_than_the_wire_takes_is_a_sentence(session: RemoteSession) -> None:
    endless = Prompts(text="x" * 201)
    updates = list(session.segment({"a": endless}))
    assert updates[-1].stage is RemoteStage.FAILED
    assert "200 characters" in str(updates[-1].error)


def test_hundreds_of_segments_at_once(
    session: RemoteSession, volume: Volume, here: Session
) -> None:
    low, high = volume.ras_of_ijk([8, 8, 4]), volume.ras_of_ijk([12, 12, 8])
    wanted = {f"segment {n}": Prompts(box=Box.from_bounds(low, high + n / 10)) for n in range(270)}
    session.request(wanted)
    session.poll()
    for name in list(wanted)[3:]:
        session.cancel(name)
    seen = set()
    while session.waiting_for:
        seen |= {update.segment for update in session.poll(0.5)}
    assert seen - {None} == set(list(wanted)[:3])


def test_finding_nothing_is_a_final_mask_and_a_sentence(
    server: RunningServer, volume: Volume, network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "decode", nothing(network.decode))
    updates = list(server.session(volume).segment({"a": Prompts(text="liver")}))
    assert updates[-1].stage is RemoteStage.FINAL
    assert updates[-1].mask.voxels.size == 0
    assert not updates[-1].mask.whole().any()
    messages = [update.message for update in updates if update.message]
    assert messages == ["Nothing was found in the whole volume: try another prompt."]


def nothing(decode):
    def decoded(*args, **options):
        return decode(*args, **options) * 0 - 1

    return decoded


@pytest.mark.parametrize("error", [MemoryError("of patient Smith"), ValueError("patient Smith")])
def test_a_fault_while_computing_is_a_sentence_and_the_server_lives_on(
    server: RunningServer,
    volume: Volume,
    here: Session,
    network,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def broken(*_, **__):
        raise error

    session = server.session(volume)
    prompts = prompts_of_every_kind(volume)["text"]
    with monkeypatch.context() as patch:
        patch.setattr(network, "decode", broken)
        updates = list(session.segment({"a": prompts}))
    assert updates[-1].stage is RemoteStage.FAILED
    assert len(str(updates[-1].error)) > 20
    assert "Smith" not in str(updates[-1].error)
    assert "Smith" not in caplog.text
    assert np.array_equal(one_mask(session, prompts), here.mask(prompts))


@pytest.mark.parametrize("when", ["preparing the volume", "encoding", "decoding"])
def test_a_server_without_memory_says_so_and_lives_on(
    server: RunningServer, network, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    volume = small_volume(77)
    prompts = prompts_of_every_kind(volume)["text"]
    expected = Session(network, volume).mask(prompts)

    def too_large(*_, **__):
        torch.empty(2**55)

    session = server.session(volume)
    with monkeypatch.context() as patch:
        if when == "preparing the volume":
            patch.setattr("segvol_core.session.prepare", too_large)
        elif when == "encoding":
            patch.setattr(network.image_encoder, "forward", too_large)
        else:
            patch.setattr(network, "decode", too_large)
        updates = list(session.segment({"a": prompts}))
    assert updates[-1].stage is RemoteStage.FAILED
    assert str(updates[-1].error) == "The server's memory does not suffice for this volume."
    session.close()
    assert np.array_equal(one_mask(server.session(volume), prompts), expected)


def test_masks_are_not_kept_once_they_have_been_fetched(
    server: RunningServer, volume: Volume
) -> None:
    session = server.session(volume)
    for _ in range(5):
        list(session.segment({"a": prompts_of_every_kind(volume)["box"]}))
    session.poll()
    assert server.engine.changed_requests(session._connection.client, 0)[1] == []


def test_the_mask_of_a_request_can_be_fetched_until_it_is_deleted(
    server: RunningServer, volume: Volume
) -> None:
    session = server.session(volume)
    list(session.segment({"a": Prompts(text="liver")}))
    name = session._unneeded[0]
    client = {"X-SegVol-Client": session._connection.client}
    assert server.call("GET", f"/v1/requests/{name}", headers=client).json()["mask"] == "final"
    first = server.call("GET", f"/v1/requests/{name}/mask", headers=client)
    assert first.headers["content-type"] == "application/octet-stream"
    assert first.content == server.call("GET", f"/v1/requests/{name}/mask", headers=client).content
    assert server.call("DELETE", f"/v1/requests/{name}", headers=client).status_code == 204
    assert server.call("GET", f"/v1/requests/{name}/mask", headers=client).status_code == 404


def test_two_segments_of_one_name_in_one_message_are_refused(
    server: RunningServer, volume: Volume
) -> None:
    session = server.session(volume)
    list(session.upload())
    twice = {"segments": [{"segment": "a", "prompts": {"text": "liver"}}] * 2}
    answer = server.call(
        "POST",
        f"/v1/volumes/{session._upload.name}/requests",
        json=twice,
        headers={"X-SegVol-Client": session._connection.client},
    )
    assert answer.status_code == 422
    assert "same name" in answer.json()["error"]


def test_news_are_waited_for_no_longer_than_asked(server: RunningServer) -> None:
    answer = server.call("GET", "/v1/requests", params={"wait": 0.2})
    assert answer.json()["requests"] == []
    assert 0.15 < answer.elapsed.total_seconds() < 2
    assert CLIENT not in answer.text


def test_the_names_of_a_mask_come_after_it_and_are_those_of_this_process(
    session: RemoteSession, here: Session, volume: Volume
) -> None:
    prompts = prompts_of_every_kind(volume)
    wanted = {"box": prompts["box"], "point": prompts["point"]}
    updates = list(session.segment(wanted, to_name=["point"]))
    stages = [(each.segment, each.stage) for each in updates if each.segment is not None]
    assert ("box", RemoteStage.NAMED) not in stages
    assert stages.index(("point", RemoteStage.FINAL)) < stages.index(("point", RemoteStage.NAMED))
    assert stages.count(("point", RemoteStage.FINAL)) == 1
    (named,) = [each for each in updates if each.stage is RemoteStage.NAMED]
    best = here.identify(here.mask(prompts["point"]))[:3]
    assert dict(named.names) == {each.organ.name: each.probability for each in best}
    assert session.waiting_for == []


def test_a_newer_request_replaces_one_that_is_being_named(
    session: RemoteSession, here: Session, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name_without_end(*_: object) -> Iterator[None]:
        while True:
            time.sleep(0.01)
            yield None

    monkeypatch.setattr("segvol_core.session.name_in_steps", name_without_end)
    prompts = prompts_of_every_kind(volume)
    session.request({"it": prompts["point"]}, to_name=["it"])
    until(lambda: any(each.stage is RemoteStage.FINAL for each in session.poll(0.05)))
    assert session.waiting_for == ["it"]
    updates = list(session.segment({"it": prompts["box"]}))
    assert [each.stage for each in updates if each.mask is not None][-1] is RemoteStage.FINAL
    assert all(each.stage is not RemoteStage.NAMED for each in updates)
    final = [each.mask for each in updates if each.stage is RemoteStage.FINAL]
    assert np.array_equal(final[0].whole(), here.mask(prompts["box"]))


def test_a_fault_while_naming_leaves_the_mask(
    server: RunningServer, volume: Volume, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no names")

    prompts = prompts_of_every_kind(volume)["point"]
    wanted = here.mask(prompts)
    monkeypatch.setattr("segvol_core.session.name_in_steps", fail)
    with closing(server.session(volume)) as session:
        updates = list(session.segment({"it": prompts}, to_name=["it"]))
    assert [each.names for each in updates if each.stage is RemoteStage.NAMED] == [()]
    final = [each.mask for each in updates if each.stage is RemoteStage.FINAL]
    assert np.array_equal(final[0].whole(), wanted)


def test_names_that_take_too_long_are_left_out(network: SegVol, volume: Volume) -> None:
    prompts = prompts_of_every_kind(volume)["point"]
    with (
        running_server({"small": network}, naming_seconds=0.0) as server,
        closing(server.session(volume)) as session,
    ):
        updates = list(session.segment({"it": prompts}, to_name=["it"]))
    assert [each.names for each in updates if each.stage is RemoteStage.NAMED] == [()]
    assert any(each.stage is RemoteStage.FINAL for each in updates)


def test_islands_are_left_out_of_the_final_mask_where_that_is_asked_for(
    server: RunningServer, volume: Volume, here: Session, steps: StepByStep
) -> None:
    session = server.session(volume)
    prompts = prompts_of_every_kind(volume)["box"]
    session.request({"whole": prompts, "largest": prompts}, keep_largest=["largest"])
    masks = {}
    steps.allow(1)  # Coarse masks come with the first window, and final ones not yet.
    while session.waiting_for:
        for update in session.poll(0.05):
            if update.mask is not None:
                masks[update.segment, update.stage] = update.mask.whole()
        if len(masks) == 2:
            steps.release()
    coarse, final = RemoteStage.COARSE, RemoteStage.FINAL
    assert np.array_equal(masks["whole", final], here.mask(prompts))
    assert np.array_equal(masks["largest", final], largest_island(here.mask(prompts)))
    assert masks["largest", final].sum() < masks["whole", final].sum()
    assert np.array_equal(masks["largest", coarse], masks["whole", coarse])
