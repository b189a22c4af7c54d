"""Tests of `training/compiling`."""
