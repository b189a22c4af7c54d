"""Tests of `training/checkpoints`."""
