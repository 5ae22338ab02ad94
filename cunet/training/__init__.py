"""Training: settings, prepared data, the loop, validation, and the run folder."""
