"""HTTP: what clients see. Knows the driver and the errors, nothing of backends or config."""
