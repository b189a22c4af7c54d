"""Tests of methods/ops/tokens."""
