import sys

from slurm_compat.engine.main import main

sys.exit(main())
