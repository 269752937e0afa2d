"""What the controller shows outside this machine: its TCP ports, its metrics, and the inventory it asks others for."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from slurm_compat.controller import metricshttp, tls
from slurm_compat.controller.clusterchange import nodes_changed
from slurm_compat.controller.metricshttp import MetricsServer
from slurm_compat.controller.reconfiguring import reconfigure
from slurm_compat.controller.siteinventory import Inventory, Sources
from slurm_compat.controller.tokens import tokens_of
from slurm_compat.core.cluster import ClusterConf
from slurm_compat.core.errors import BadValue
from slurm_compat.translators.volumes import volumes

if TYPE_CHECKING:
    from slurm_compat.controller.controller import Controller
    from slurm_compat.controller.server import Server

log = logging.getLogger(__name__)


def prepare(controller: Controller) -> None:
    """Read keys and certificates before any job is handed over. Raises BadValue for what is wrong with them."""
    conf = controller.conf
    volumes(conf.armada)
    metricshttp.place(conf)
    controller.tokens = tokens_of(conf, controller.state_folder)
    ports = tls.addresses(conf)
    if ports:
        hosts = [host for some in ports.values() for host in some]
        controller.identity = tls.identity(conf, controller.state_folder, hosts)
        controller.authority = controller.identity.authority


class Outward:
    """What runs beside the controller until it stops. `sources` and the cluster file that their nodes complete."""

    def __init__(self, controller: Controller, sources: Sources, file_conf: ClusterConf) -> None:
        self._controller = controller
        if sources.configured:
            controller.inventory = Inventory(
                controller,
                sources,
                file_conf,
                lambda conf: reconfigure(controller, conf, os.getuid()),
                lambda: nodes_changed(controller, []),
            )
            controller.sources = lambda: dict(sources.up)
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics: MetricsServer | None = None

    async def start(self, server: Server) -> None:
        """Raises BadValue for an address that can't be had."""
        controller = self._controller
        for port, hosts in tls.addresses(controller.conf).items():
            assert controller.identity is not None
            try:
                await server.listen_tcp(tls.listen_on(hosts), port, controller.identity.context)
            except OSError as problem:
                raise BadValue(f"port {port}: {problem.strerror}") from None
            log.info("agents and commands elsewhere may dial %s at port %d", ", ".join(hosts), port)

        if place := metricshttp.place(controller.conf):
            self._metrics = MetricsServer(controller)
            try:
                await self._metrics.start(*place)
            except OSError as problem:
                raise BadValue(f"MetricsAddress: {controller.conf.metrics_address}: {problem.strerror}") from None
            log.info("metrics at http://%s:%d/metrics", *place)

        if controller.inventory is not None:
            self._tasks.append(asyncio.ensure_future(controller.inventory.keep()))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._metrics is not None:
            self._metrics.close()
