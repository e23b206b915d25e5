"""Doing what the user asks, with anything that is in the way said in the status line."""

from collections.abc import Callable
from typing import Any

from segvol_core.errors import SegVolError
from SegVolPanel.status_line import StatusLine

Attempt = Callable[..., bool]
"""Calls a function with arguments; whether that went well."""


def attempts(status: StatusLine) -> Attempt:
    """Return what tries a function and says what is in the way."""

    def attempt(action: Callable[..., Any], *arguments: Any) -> bool:
        status.forget_notice()
        try:
            action(*arguments)
        except SegVolError as error:
            status.notice(str(error), problem=True)
            return False
        return True

    return attempt
