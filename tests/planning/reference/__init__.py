"""Tests of benchmarks/planning/reference."""
