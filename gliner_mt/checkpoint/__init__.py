"""Reading and writing models: our own format, and published GLiNER checkpoints."""
