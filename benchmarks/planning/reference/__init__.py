"""The project's reference results: their experiments, and which Runs of them are missing."""
