"""To go on after anything: checkpoints and savepoints."""
