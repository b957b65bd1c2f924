"""Client of an Eddyline server: REST and live feeds, blocking and for asyncio."""

from .client import AsyncEddyline, Eddyline
from .errors import EddylineError
from .feed import Feed, PatchError, apply_operations
from .session import AsyncSession, Session
from .storage import FileStorage, MemoryStorage, Storage

__all__ = [
    "AsyncEddyline",
    "AsyncSession",
    "Eddyline",
    "EddylineError",
    "Feed",
    "FileStorage",
    "MemoryStorage",
    "PatchError",
    "Session",
    "Storage",
    "apply_operations",
]
