"""Tests of methods/ops/attention."""
