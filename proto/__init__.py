"""The protocol files and their generated stubs."""
