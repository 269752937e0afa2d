"""Scripts and environments by their hash: in memory while there is room, else in the store."""

from __future__ import annotations

from collections import OrderedDict

from slurm_compat.store.questions import text_of
from slurm_compat.store.store import Store

KEPT = 64 << 20  # bytes in memory, so that a launch seldom reads the store


class Texts:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def keep(self, key: str, data: bytes) -> None:
        if key not in self._kept:
            self._kept[key] = data
            self._size += len(data)
        self._kept.move_to_end(key)
        while self._size > KEPT and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old)

    async def get(self, key: str) -> bytes:
        """The text; empty for "" and for what is no longer kept anywhere."""
        if not key:
            return b""
        data = self._kept.get(key)
        if data is None:
            data = await self._store.read(lambda connection: text_of(connection, key)) or b""
            self.keep(key, data)
        return data
