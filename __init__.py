"""Reactor: when something happens, run a durable workflow."""
