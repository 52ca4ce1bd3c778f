"""The fixtures of the examples' tests."""

from reactor.tests.examples.rig import examples, folder

__all__ = ["examples", "folder"]
