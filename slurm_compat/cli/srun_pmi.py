"""Where the nodes of an MPI step meet: what their tasks put for each other, and the names they publish.

Pure: `hear` takes a message of a node's agent (agent/pmi.py) and gives those to send, each to one node or to all.

 agent to srun: {"put": [[key, value]…]}, {"fence": true}, {"abort": rank},
                {"publish" | "unpublish" | "lookup": name, "port": …, "ask": number}
 srun to agent: {"put": …} of all nodes and {"fence": true} once all have come, {"answer": number, "port": text or null}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slurm_compat.core import stepio

Message = dict[str, Any]


class Meeting:
    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._put: dict[str, str] = {}
        self._came: set[str] = set()
        self._ports: dict[str, str] = {}

    def hear(self, node: str, message: Mapping[str, Any]) -> list[tuple[str, Message]]:
        """(node, message)s to send; node "" is all of them."""
        self._put.update((str(key), str(value)) for key, value in message.get("put") or ())
        if "ask" in message:
            return [(node, {"answer": message["ask"], "port": self._name(message)})]
        if not message.get("fence"):
            return []
        self._came.add(node)
        if len(self._came) < self._nodes:
            return []
        put = list(self._put.items())
        self._put.clear()
        self._came.clear()
        return [*(("", {"put": pairs}) for pairs in stepio.portions(put)), ("", {"fence": True})]

    def _name(self, message: Mapping[str, Any]) -> str | None:
        if "publish" in message:
            self._ports[str(message["publish"])] = str(message.get("port", ""))
            return ""
        if "unpublish" in message:
            self._ports.pop(str(message["unpublish"]), None)
            return ""
        return self._ports.get(str(message.get("lookup", "")))
