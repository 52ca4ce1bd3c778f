"""Reactor: when something happens, run a durable workflow."""

__version__ = "0.1.0"
