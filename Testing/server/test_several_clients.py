"""Several users at once: each gets a share of time and memory, and sees nothing of the others."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from running_server import (
    RunningServer,
    StepByStep,
    final_masks,
    one_mask,
    running_server,
    until,
)
from small_network import SMALL, prompts_of_every_kind, small_network, small_volume

from segvol_core.client import RemoteSession, RemoteStage, ServerError
from segvol_core.errors import VolumeError
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts
from segvol_core.server.segment_requests import RequestState
from segvol_core.server.volumes import memory_needed
from segvol_core.session import Session
from segvol_core.volume import Volume

MIB = 1024**2


def charge(volume: Volume) -> int:
    """Memory that a server sets aside for a volume."""
    network = small_network()
    image, embeddings = memory_needed(volume.canonical(), network.config)
    return volume.voxels.nbytes + int(image) + int(embeddings)


def ended_first(server: RunningServer, *sessions: RemoteSession) -> list[str]:
    """Segments whose requests are done and were not deleted yet, in the order of their ends."""
    clients = [session._connection.client for session in sessions]
    requests = [each for client in clients for each in server.engine.changed_requests(client, 0)[1]]
    done = [request for request in requests if request.state is RequestState.DONE]
    return [each.wish.segment for each in sorted(done, key=lambda request: request.finished)]


@pytest.mark.usefixtures("even_steps")
def test_a_click_does_not_wait_for_a_neighbours_long_list(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    busy, quick = server.session(volume), server.session(small_volume(1, (10, 34, 34)))
    busy.request({f"organ {n}": Prompts(text=f"organ {n}") for n in range(20)})
    until(lambda: busy.poll() and busy.uploaded)
    busy.poll()
    steps.allow(2)
    until(lambda: steps.windows == 2)
    quick.request({"click": prompts_of_every_kind(volume)["text"]})
    until(lambda: quick.poll() and quick.uploaded)
    quick.poll()
    steps.release()
    while quick.waiting_for:
        quick.poll(0.5)
    # All of the list may be done by now, too, but of what was done before the click there is only
    # the first of it, which had been begun when the click came.
    assert ended_first(server, busy, quick).index("click") <= 1
    assert len(busy.waiting_for) == 20
    for segment in busy.waiting_for:
        busy.cancel(segment)
    busy.poll()


def test_own_click_does_not_wait_for_own_long_list(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    session.request({f"organ {n}": Prompts(text=f"organ {n}") for n in range(30)})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    session.request({"click": prompts_of_every_kind(volume)["point"]})
    session.poll()
    steps.release()
    until(lambda: any(each.stage is RemoteStage.FINAL for each in session.poll(0.5)))
    # Some of the list may have come with it: a poll brings all that is done.
    assert ended_first(server, session)[0] == "click"
    for segment in session.waiting_for:
        session.cancel(segment)
    session.poll()


@pytest.mark.timeout(1000)
def test_eight_clients_on_four_volumes_get_the_masks_they_would_get_alone(
    network: object,
) -> None:
    prompts_each = 20
    volumes = [small_volume(seed, (12 + seed, 34, 36)) for seed in range(4)]
    sessions_here = [Session(small_network(), volume) for volume in volumes]
    expected = [
        {kind: here.mask(prompts) for kind, prompts in prompts_of_every_kind(volume).items()}
        for here, volume in zip(sessions_here, volumes, strict=True)
    ]
    answered: list[tuple[int, str, bool]] = []
    errors: list[BaseException] = []

    def work(client: int) -> None:
        try:
            number = client % 4
            wanted = list(prompts_of_every_kind(volumes[number]).items())
            session = running.session(volumes[number])
            for turn in range(prompts_each):
                kind, prompts = wanted[(turn + client) % len(wanted)]
                mask = final_masks(session.segment({f"segment {turn % 3}": prompts}))
                (only,) = mask.values()
                answered.append((client, kind, np.array_equal(only, expected[number][kind])))
            session.close()
        except BaseException as error:
            errors.append(error)
            raise

    with running_server({"small": network}, encode_ahead=True) as running:
        threads = [threading.Thread(target=work, args=(client,)) for client in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(900)
    assert not errors
    assert len(answered) == 8 * prompts_each
    assert all(equal for *_, equal in answered)


def test_a_volume_of_another_client_does_not_exist(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    session.request({"a": Prompts(text="liver")})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    name, request = session._upload.name, session._wanted["a"].request
    for method, path in (
        ("GET", f"/v1/volumes/{name}"),
        ("DELETE", f"/v1/volumes/{name}"),
        ("GET", f"/v1/requests/{request}"),
        ("GET", f"/v1/requests/{request}/mask"),
        ("DELETE", f"/v1/requests/{request}"),
    ):
        assert server.call(method, path).status_code == 404, path
    assert server.call("GET", "/v1/requests").json()["requests"] == []
    steps.release()
    while session.waiting_for:
        session.poll(0.5)


def test_the_least_recently_used_volume_goes_and_comes_again_by_itself(network: object) -> None:
    volumes = [small_volume(seed) for seed in range(3)]
    prompts = prompts_of_every_kind(volumes[0])["text"]
    expected = [Session(small_network(), volume).mask(prompts) for volume in volumes]
    room_for_two = charge(volumes[0]) * 5 // 2
    with running_server({"small": network}, memory_bytes=room_for_two) as running:
        sessions = [running.session(volume) for volume in volumes]
        for session, mask in zip(sessions, expected, strict=True):
            assert np.array_equal(one_mask(session, prompts), mask)
        first = sessions[0]._upload.name
        answer = running.call(
            "GET",
            f"/v1/volumes/{first}",
            headers={"X-SegVol-Client": sessions[0]._connection.client},
        )
        assert answer.status_code == 410
        assert answer.json()["kind"] == "dropped"
        assert sessions[0].uploaded  # As far as is known here.
        updates = list(sessions[0].segment({"a": prompts}))
        assert np.array_equal(updates[-1].mask.whole(), expected[0])
        assert RemoteStage.UPLOAD in {update.stage for update in updates}
        # The third was used after the second, so it is still there.
        updates = list(sessions[2].segment({"a": prompts}))
        assert RemoteStage.UPLOAD not in {update.stage for update in updates}


def test_a_volume_in_use_is_not_dropped_for_another(
    network: object, steps: StepByStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segvol_core.client._BUSY_SECONDS", 3600.0)
    used, other = small_volume(0), small_volume(1)
    with running_server({"small": network}, memory_bytes=charge(used) * 3 // 2) as running:
        first, second = running.session(used), running.session(other)
        first.request({"a": Prompts(text="liver")})
        until(lambda: first.poll() and first.uploaded)
        first.poll()
        second.request({"a": Prompts(text="liver")})
        (update,) = second.poll()
        assert "memory of the server is in use" in update.message
        assert second.poll() == []  # Not before it makes sense to ask again.
        monkeypatch.undo()
        second._not_before = 0.0
        steps.release()
        while first.waiting_for:
            first.poll(0.5)
        # Now it is the first that goes.
        while second.waiting_for:
            second.poll(0.5)
        assert second.uploaded


def test_a_volume_beyond_all_memory_is_refused_with_a_sentence(network: object) -> None:
    volume = small_volume()
    with running_server({"small": network}, memory_bytes=2 * volume.voxels.nbytes) as running:
        session = running.session(volume)
        with pytest.raises(ServerError, match="MiB of memory; this server has"):
            list(session.upload())
    with running_server({"small": network}, max_volume_bytes=1000) as running:
        session = running.session(volume)
        with pytest.raises(ServerError, match="this server takes 0 MiB at most"):
            list(session.upload())


def test_a_volume_with_little_room_keeps_fewer_embeddings(network: object) -> None:
    volume = small_volume()
    image, embeddings = memory_needed(volume.canonical(), small_network().config)
    budget = volume.voxels.nbytes + int(image) + int(embeddings) // 4
    prompts = prompts_of_every_kind(volume)["text"]
    with running_server({"small": network}, memory_bytes=budget) as running:
        mask = one_mask(running.session(volume), prompts)
    assert np.array_equal(mask, Session(small_network(), volume).mask(prompts))


def test_memory_set_aside_is_what_a_session_takes() -> None:
    volume = small_volume()
    session = Session(small_network(), volume)
    for _ in session.encode_ahead():
        pass
    image, embeddings = memory_needed(volume.canonical(), small_network().config)
    taken = session._prepared.image.numel() * 4
    assert taken <= image <= 2 * taken
    assert session._encoder.cache.used_bytes <= embeddings <= 4 * session._encoder.cache.used_bytes


def test_volumes_and_masks_that_nobody_uses_are_forgotten(network: object) -> None:
    volume = small_volume()
    prompts = prompts_of_every_kind(volume)["text"]
    with running_server(
        {"small": network}, keep_volume_seconds=0.0, keep_result_seconds=0.0
    ) as running:
        session = running.session(volume)
        expected = one_mask(session, prompts)
        running.engine.drop_unused()
        assert running.engine._volumes.used_bytes == 0
        assert running.engine._requests._requests == {}
        assert np.array_equal(one_mask(session, prompts), expected)


def test_closing_a_session_frees_its_memory(server: RunningServer, volume: Volume) -> None:
    before = server.engine._volumes.used_bytes
    session = server.session(volume)
    one_mask(session, prompts_of_every_kind(volume)["text"])
    assert server.engine._volumes.used_bytes == before + charge(volume)
    session.close()
    assert server.engine._volumes.used_bytes == before
    session.close()


def test_closing_a_session_stops_its_work(
    server: RunningServer, volume: Volume, steps: StepByStep
) -> None:
    session = server.session(volume)
    session.request({"a": Prompts(text="liver")})
    until(lambda: session.poll() and session.uploaded)
    session.poll()
    steps.allow(2)
    until(lambda: steps.windows == 2)
    session.close()
    steps.release()
    until(lambda: not server.engine._queue)
    assert steps.windows <= 3


def test_results_beyond_the_limit_are_asked_for_again(network: object, steps: StepByStep) -> None:
    volume = small_volume()
    wanted = {text: Prompts(text=text) for text in ("liver", "spleen", "aorta")}
    with running_server({"small": network}, max_result_bytes=6000) as running:
        session = running.session(volume)
        session.request(wanted)
        until(lambda: session.poll() and session.uploaded)
        session.poll()
        steps.release()
        client = session._connection.client
        until(
            lambda: all(
                request.state.value == "done"
                for request in running.engine.changed_requests(client, 0)[1]
            )
        )
        kept = [each.mask for each in running.engine.changed_requests(client, 0)[1]]
        assert None in kept
        masks = {}
        while session.waiting_for:
            for update in session.poll(0.5):
                if update.stage is RemoteStage.FINAL:
                    masks[update.segment] = update.mask.whole()
    here = Session(small_network(), volume)
    for text, prompts in wanted.items():
        assert np.array_equal(masks[text], here.mask(prompts))


def test_too_many_open_requests_wait_at_the_client_and_none_is_lost(
    network: object, steps: StepByStep
) -> None:
    volume = small_volume()
    names = [f"organ {n}" for n in range(6)]
    with running_server({"small": network}, max_open_requests_per_client=4) as running:
        session = running.session(volume)
        for name in names:
            session.request({name: Prompts(text=name)})
        until(lambda: session.poll() and session.uploaded)
        (update,) = session.poll()
        assert "Too many segments" in update.message
        steps.release()
        finals = []
        while session.waiting_for:
            finals += [each for each in session.poll(0.5) if each.stage is RemoteStage.FINAL]
        assert sorted(each.segment for each in finals) == names


def test_while_nobody_waits_the_last_used_volume_is_encoded(network: object) -> None:
    volume = small_volume()
    steps = StepByStep(network)
    try:
        steps.release()
        with running_server({"small": network}, encode_ahead=True) as running:
            session = running.session(volume)
            list(session.upload())
            stored = running.engine.volume(session._connection.client, session._upload.name)
            until(lambda: stored.encoded)
            windows = steps.windows
            one_mask(session, prompts_of_every_kind(volume)["text"])
            assert steps.windows == windows  # Nothing is left to encode, the overview included.
    finally:
        steps.remove()


def test_encoding_ahead_stops_for_a_request(network: object, steps: StepByStep) -> None:
    volume = small_volume()
    with running_server({"small": network}, encode_ahead=True) as running:
        session = running.session(volume)
        list(session.upload())
        steps.allow(2)
        until(lambda: steps.windows == 2 and steps.held)
        session.request({"a": Prompts(text="liver")})
        seen = session.poll()
        assert [update for update in seen if update.mask is not None] == []
        steps.allow(1)  # The window being encoded ahead; the overview was the first of them.
        until(lambda: seen.extend(session.poll()) or any(u.mask is not None for u in seen))
        assert steps.windows == 3
        steps.release()
        while session.waiting_for:
            session.poll(0.5)


def test_a_volume_with_absurd_spacing_is_refused_before_memory_is_taken() -> None:

    resampling = SegVol(replace(SMALL, spacing_mm=(1.5, 1.5, 1.5))).eval()
    far = Volume(small_volume().voxels, np.diag([1e5, 1e5, 1e5, 1.0]))
    with (
        running_server({"small": resampling}) as running,
        pytest.raises(ServerError, match="MiB of memory"),
    ):
        list(running.session(far).upload())


def test_a_volume_error_type_reaches_the_caller(server: RunningServer) -> None:
    flat = Volume(np.zeros((8, 34, 34), dtype=np.int16), np.eye(4))
    updates = list(server.session(flat).segment({"a": Prompts(text="liver")}))
    assert isinstance(updates[-1].error, VolumeError)
