"""Several processes or machines at once, with Ray: `segvol serve --ray` and `segvol batch`."""
