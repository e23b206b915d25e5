"""What of a request gets into the application's log."""

from __future__ import annotations

import logging
import threading

import pytest
from running_server import RunningServer


@pytest.mark.parametrize(("thread_name", "logged"), [("SegVol client", 0), ("another's", 1)])
def test_the_requests_of_our_threads_are_in_no_log(
    server: RunningServer,
    caplog: pytest.LogCaptureFixture,
    thread_name: str,
    logged: int,
) -> None:
    connection = server.connect()
    connection.health()
    with caplog.at_level(logging.DEBUG):
        thread = threading.Thread(target=connection.health, name=thread_name)
        thread.start()
        thread.join()
    of_urllib3 = [record for record in caplog.records if record.name.startswith("urllib3")]
    assert len(of_urllib3) == logged
