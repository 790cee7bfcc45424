"""Where the batches of a run are drawn: on this machine, or on a Ray cluster."""
