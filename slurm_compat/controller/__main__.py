from slurm_compat.controller.main import main

main()
