"""A command that starts cold imports nothing from the folder it is called in: that may be /tmp, or a stranger's."""

import os
import shutil
import subprocess

import pytest

from slurm_compat.launcher.install import install


@pytest.mark.parametrize("compiler", [None, ""], ids=["C", "Python"])
def test_the_callers_folder_is_not_searched_for_modules(tmp_path, compiler):
    if compiler is None and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    install(tmp_path / "bin", compiler=compiler)
    folder = tmp_path / "planted"
    folder.mkdir()
    for name in ("slurm_compat", "argparse", "json", "re", "runpy", "msgspec", "types", "collections"):
        (folder / f"{name}.py").write_text("import os\nos.write(1, b'planted\\n')\n")
    done = subprocess.run(
        [tmp_path / "bin" / "squeue", "--version"], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SLURM_COMPAT_COLD": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("slurm-wlm ") and "planted" not in done.stdout
