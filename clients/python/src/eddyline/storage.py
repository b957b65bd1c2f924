"""Storage for unacknowledged events and for the shown feed.

Invariant: a storage failure is never an error of the session.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol


class Storage(Protocol):
    """Text by name."""

    def get(self, name: str) -> str | None:
        """The text of this name, or None."""

    def set(self, name: str, text: str) -> None:
        """Replaces the text of this name."""


class MemoryStorage:
    """Storage for the lifetime of the process."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self._texts.get(name)

    def set(self, name: str, text: str) -> None:
        self._texts[name] = text


class FileStorage:
    """Storage in a JSON file. Each change replaces the file as a whole, so a crash leaves the old or the new one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            self._texts: dict[str, str] = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            self._texts = {}

    def get(self, name: str) -> str | None:
        return self._texts.get(name)

    def set(self, name: str, text: str) -> None:
        self._texts[name] = text
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(json.dumps(self._texts), "utf-8")
        new.replace(self._path)


def recall(storage: Storage, name: str) -> Any:
    """The value stored under a name, or None."""
    try:
        return json.loads(storage.get(name) or "null")
    except (OSError, ValueError):
        return None


def remember(storage: Storage, name: str, value: Any) -> None:
    """Stores a value; a storage that fails only makes a restart forget it."""
    try:
        storage.set(name, json.dumps(value))
    except OSError:
        pass
