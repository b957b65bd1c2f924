"""Storage for unacknowledged events and for the shown feed.

Invariant: a storage failure is never an error of the session.
"""

from __future__ import annotations

import json
import os
import warnings
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
    """Storage in a JSON file. Each change replaces the file as a whole, so a crash leaves the old or the new one.

    A file that holds something else is renamed to ``….bad``, with a warning, and the storage begins empty.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._texts = self._read()

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            found = None
        if isinstance(found, dict) and all(isinstance(text, str) for text in found.values()):
            return found
        aside = self._path.with_name(f"{self._path.name}.bad")
        self._path.replace(aside)
        words = f"{self._path} is no storage of Eddyline: it is now {aside}, and the storage begins empty"
        warnings.warn(words, RuntimeWarning, stacklevel=3)
        return {}

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
