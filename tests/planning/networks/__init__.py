"""Tests of what planning finds out of a Run's network and its weights."""
