"""Imports point up the page of the layout only, and each heavy library has its one room."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "slurm_compat"

# layer: what of this project it may import, besides itself
MAY_IMPORT = {
    "core": set(),
    "translators": {"core"},
    "cli": {"core", "operator"},  # operator: starting a private cluster
    "launcher": {"core", "cli"},
    "armada": {"core"},
    "store": {"core"},
    "agent": {"core", "launcher"},  # launcher: a job's agent is its commands' warm host, where that is installed
    "engine": {"core", "agent", "armada", "store", "translators"},
    "controller": {"core", "translators", "armada", "store"},
    "operator": {"core", "cli", "launcher", "translators", "controller", "doctor", "translate"},
    "doctor": {"core", "cli", "launcher"},
    "translate": {"core", "cli", "translators", "controller"},
}
# library: the modules that may import it
ONLY_IN = {
    "grpc": {"armada/client.py", "engine/service.py"},
    "armada_client": {"armada/", "engine/"},  # the generated messages; the stubs that dial need grpc
    "sqlalchemy": {"store/"},
    "click": {"operator.py"},
    "cryptography": {"controller/tls.py"},
    "jwt": {"controller/tokens.py"},
    "kubernetes": {"armada/kubernetes.py"},
    "prometheus_client": {"armada/prometheus.py", "controller/metrics.py", "controller/metricshttp.py"},
}
STDLIB_ONLY_CORE = {
    "binding",
    "cpulist",
    "errors",
    "folded",
    "hostlist",
    "multiprog",
    "patterns",
    "rawbytes",
    "relayline",
    "signals",
    "stepio",
    "unixsocket",
}


def modules():
    return [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]


def imports(path):
    """(module, name) of every import statement of a file, wherever it stands."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def layer(path):
    return path.parts[0] if len(path.parts) > 1 else path.stem


@pytest.mark.parametrize("path", modules(), ids=str)
def test_a_module_imports_only_what_its_layer_may(path):
    here = layer(path)
    if here == "__init__":
        return
    for module, name in imports(path):
        assert module.split(".")[0] != "translators", f"{path}: the translators are slurm_compat.translators"
        parts = module.split(".")
        if parts[0] != "slurm_compat":
            continue
        target = parts[1] if len(parts) > 1 else name
        if (
            not target
            or target == here
            or (not (PACKAGE / target).exists() and not (PACKAGE / f"{target}.py").exists())
        ):
            continue  # itself, or a constant of the package
        assert target in MAY_IMPORT[here], f"{path} imports {module}"


@pytest.mark.parametrize("path", modules(), ids=str)
def test_heavy_libraries_stay_in_their_rooms(path):
    for module, _ in imports(path):
        rooms = ONLY_IN.get(module.split(".")[0])
        assert rooms is None or any(str(path).startswith(room) for room in rooms), f"{path} imports {module}"


def test_the_agent_needs_the_standard_library_alone():
    import sys

    allowed = sys.stdlib_module_names | {"slurm_compat"}
    files = [p for p in modules() if p.parts[0] == "agent" or (p.parts[0] == "core" and p.stem in STDLIB_ONLY_CORE)]
    for path in files:
        for module, name in imports(path):
            parts = module.split(".")
            assert parts[0] in allowed, f"{path} imports {module}"
            if parts[0] == "slurm_compat" and len(parts) > 1 and parts[1] == "core":
                stem = parts[2] if len(parts) > 2 else name
                assert stem in STDLIB_ONLY_CORE, (
                    f"{path} imports core.{stem}, which needs more than the standard library"
                )
