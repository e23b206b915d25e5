"""End with the process that started this one, however it ends."""

from __future__ import annotations

import ctypes
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Callable

_POLL_SECONDS = 0.25

_log = logging.getLogger(__name__)


def end_with_process(pid: int, cleanup: Callable[[], None]) -> None:
    """End this process as soon as another one has ended, also if it was killed.

    Parameters
    ----------
    pid
        The process to watch.
    cleanup
        Called before the end.
    """
    wait = _wait_for_process(pid)
    _watch("segvol-parent", wait, cleanup)


def end_with_stdin(cleanup: Callable[[], None]) -> None:
    """End this process when its standard input ends: the other end of the pipe is gone then."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass

    _watch("segvol-stdin", wait, cleanup)


def _watch(name: str, wait: Callable[[], None], cleanup: Callable[[], None]) -> None:
    def watch() -> None:
        wait()
        _log.info("the process that started the server has ended: ending too")
        cleanup()
        logging.shutdown()
        # At once: a window that is being encoded may take longer than anybody should wait, and
        # there is nothing on disk that could be left half written.
        os._exit(0)

    threading.Thread(target=watch, name=name, daemon=True).start()


if sys.platform == "win32":
    _SYNCHRONIZE, _INFINITE = 0x00100000, 0xFFFFFFFF

    def _wait_for_process(pid: int) -> Callable[[], None]:
        # A handle keeps the number from being given to another process meanwhile.
        handle = ctypes.windll.kernel32.OpenProcess(_SYNCHRONIZE, False, pid)

        def wait() -> None:
            if handle:
                ctypes.windll.kernel32.WaitForSingleObject(handle, _INFINITE)

        return wait

else:

    def _wait_for_process(pid: int) -> Callable[[], None]:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return lambda: None
        except (AttributeError, OSError):
            # Other systems, kernels before 5.3, a Python that was built for them, and sandboxes.
            return lambda: _poll(pid)
        return lambda: _wait_for_descriptor(descriptor)

    def _wait_for_descriptor(descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll():
            pass

    def _poll(pid: int) -> None:
        # A child is handed to another parent when its own ends, even if the number lives on.
        child = os.getppid() == pid
        while os.getppid() == pid if child else _exists(pid):
            time.sleep(_POLL_SECONDS)

    def _exists(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
