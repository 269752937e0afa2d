"""`python -m slurm_compat.cli squeue -l`: a command in this very process."""

import sys

from slurm_compat.cli.main import main

main(sys.argv[1:])
