"""Folders that pods have from outside: Armada.Volumes of the cluster file as a pod's volumes and a container's mounts.

Without them a pod on Kubernetes has its image's files alone, and no home or working directory of its user.
"""

from __future__ import annotations

from typing import Any

from slurm_compat.core.cluster import ArmadaConf, VolumeConf
from slurm_compat.core.errors import BadValue


def volumes(conf: ArmadaConf) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(volumes, volumeMounts) in the shape of Armada's messages; volumes of one name are one. Raises BadValue."""
    sources: dict[str, dict[str, Any]] = {}
    mounts = []
    for volume in conf.volumes:
        source = _source(volume)
        if sources.setdefault(volume.name, source) != source:
            raise BadValue(f"Armada.Volumes: {volume.name}: two different volumes have this name")
        if not volume.mount_path.startswith("/"):
            raise BadValue(f"Armada.Volumes: {volume.name}: MountPath {volume.mount_path} is no absolute path")
        mount: dict[str, Any] = {"name": volume.name, "mountPath": volume.mount_path}
        if volume.sub_path:
            mount["subPath"] = volume.sub_path
        if volume.read_only:
            mount["readOnly"] = True
        mounts.append(mount)
    return [{"name": name, "volumeSource": source} for name, source in sources.items()], mounts


def _source(volume: VolumeConf) -> dict[str, Any]:
    given = [text for text in (volume.host_path, volume.nfs, volume.persistent_volume_claim) if text]
    if len(given) != 1:
        raise BadValue(f"Armada.Volumes: {volume.name}: one of HostPath, NFS, PersistentVolumeClaim")
    if volume.host_path:
        return {"hostPath": {"path": volume.host_path}}
    if volume.nfs:
        server, colon, path = volume.nfs.partition(":/")
        if not server or not colon:
            raise BadValue(f"Armada.Volumes: {volume.name}: NFS {volume.nfs} is not server:/path")
        return {"nfs": {"server": server, "path": "/" + path}}
    return {"persistentVolumeClaim": {"claimName": volume.persistent_volume_claim}}
