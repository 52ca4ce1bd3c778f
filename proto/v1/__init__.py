"""Version 1 of the plugin protocol: `reactor.v1` on the wire, stubs made by `make proto`."""
