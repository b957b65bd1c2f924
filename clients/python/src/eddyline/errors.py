"""Errors of the client."""

from __future__ import annotations

from typing import Any


class EddylineError(Exception):
    """A request or an event that failed.

    ``code`` is an error code of the protocol, or ``network``, ``timeout``, ``closed``, ``outbox_full``. ``status`` is 0
    without an answer. ``faults`` are the invalid fields, and ``retry_after`` is the pause that the server asks for, in
    seconds.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        faults: list[dict[str, str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.faults = faults or []
        self.retry_after = retry_after

    @classmethod
    def of_frame(cls, frame: dict[str, Any]) -> EddylineError:
        """The error of an ``error`` message of the socket."""
        faults = [{"field": frame["field"], "message": frame["message"]}] if "field" in frame else []
        return cls(frame["code"], frame["message"], faults=faults)
