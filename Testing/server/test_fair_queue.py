"""Nobody waits for a neighbour's long list."""

from __future__ import annotations

from collections import Counter

from segvol_core.server.fair_queue import FairQueue


def served(queue: FairQueue[str], turns: int, seconds: dict[str, float]) -> list[str]:
    order = []
    for _ in range(turns):
        turn = queue.next()
        assert turn is not None
        client, work = turn
        queue.spend(client, seconds[client])
        order.append(work)
    return order


def test_clients_take_turns() -> None:
    queue = FairQueue[str]()
    queue.add("a", "a1")
    queue.add("b", "b1")
    assert served(queue, 4, {"a": 1, "b": 1}) == ["a1", "b1", "a1", "b1"]


def test_time_counts_and_not_the_number_of_turns() -> None:
    queue = FairQueue[str]()
    queue.add("slow", "slow")
    queue.add("quick", "quick")
    turns = Counter(served(queue, 44, {"slow": 10, "quick": 1}))
    assert turns == {"slow": 4, "quick": 40}


def test_a_newcomer_waits_for_one_turn_at_most() -> None:
    queue = FairQueue[str]()
    queue.add("a", "a1")
    served(queue, 100, {"a": 1})
    queue.add("b", "b1")
    assert "b1" in served(queue, 2, {"a": 1, "b": 1})


def test_a_newcomer_has_saved_up_nothing() -> None:
    queue = FairQueue[str]()
    queue.add("a", "a1")
    served(queue, 100, {"a": 1})
    queue.add("b", "b1")
    turns = Counter(served(queue, 20, {"a": 1, "b": 1}))
    assert turns["a1"] >= 9


def test_within_a_client_two_pieces_take_turns() -> None:
    queue = FairQueue[str](per_client=2)
    for work in ("list", "click", "later"):
        queue.add("a", work)
    assert served(queue, 4, {"a": 1}) == ["list", "click", "list", "click"]
    queue.remove("a", "click")
    assert set(served(queue, 2, {"a": 1})) == {"list", "later"}


def test_no_more_than_so_many_pieces_are_begun_at_once() -> None:
    queue = FairQueue[str](overall=2)
    for client in "abcd":
        queue.add(client, client)
    seconds = dict.fromkeys("abcd", 1.0)
    assert set(served(queue, 8, seconds)) == {"a", "b"}
    queue.remove("a", "a")
    assert set(served(queue, 12, seconds)) == {"b", "c"}


def test_everything_is_served_in_the_end() -> None:
    queue = FairQueue[str]()
    for client in "abcdefgh":
        for number in range(5):
            queue.add(client, f"{client}{number}")
    done = []
    while turn := queue.next():
        client, work = turn
        queue.spend(client, 1.0)
        queue.remove(client, work)
        done.append(work)
    assert len(set(done)) == len(done) == 40
    assert len(queue) == 0
    # Fair from the beginning: everyone's first piece comes before anyone's third.
    assert max(done.index(f"{c}0") for c in "abcdefgh") < min(
        done.index(f"{c}2") for c in "abcdefgh"
    )


def test_removing_what_is_not_there_is_no_error() -> None:
    queue = FairQueue[str]()
    queue.remove("nobody", "nothing")
    assert queue.next() is None
