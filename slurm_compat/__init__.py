"""Slurm's commands on Armada."""

__version__ = "0.1.0"
SLURM_VERSION = "26.05.5"  # the Slurm whose words and formats these are
