"""python -m slurm_compat.agent"""

import os
import sys

from slurm_compat.agent.main import run

sys.exit(run(dict(os.environ)))
