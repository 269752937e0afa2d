"""An agent whose controller never comes back."""

import os

from slurm_compat.agent import main


def test_a_pod_in_which_nothing_runs_does_not_wait_for_ever(monkeypatch, tmp_path):
    monkeypatch.setattr(main, "WIDOWED", 0.0)
    agent = main.Agent(
        {
            "SLURM_COMPAT_CONTROLLER": f"unix:{tmp_path}/nobody",
            "SLURM_COMPAT_NODE": "node01",
            "SLURM_COMPAT_JOB_ID": "7",
            "SLURM_COMPAT_RESTART": "1",
            "SLURM_COMPAT_RANK": "0",
            "SLURM_COMPAT_TOKEN": "word",
            "SLURM_COMPAT_POD_IP": "127.0.0.1",
            "PATH": os.defpath,
        }
    )
    assert agent.run() == 0
