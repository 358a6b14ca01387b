"""Films: opening, cutting, writing. PyAV (libav*) is known here and nowhere else."""
