"""A `sitecustomize` for a clean environment: hides modules, and refuses and writes down each try to reach the outside.

HIDDEN_MODULES: names, with commas between; importing them fails as where they do not exist. With them `os.sysconf` is
gone too. OUTSIDE_TRIED: the file that gets a line for each connection, datagram or name beyond this machine.
"""

import importlib
import importlib.abc
import os
import sys

LOCAL = ("127.0.0.1", "::1", "localhost", "", "0.0.0.0", "::", None)
HIDDEN = tuple(filter(None, os.environ.get("HIDDEN_MODULES", "").split(",")))


class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def look(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        tried = address[0] if isinstance(address, tuple) else None  # a path is a socket of this machine
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        tried = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
    else:
        return
    if tried not in LOCAL:
        with open(os.environ["OUTSIDE_TRIED"], "a") as file:
            file.write(f"{event} {tried}\n")
        raise OSError(101, "Network is unreachable")


if HIDDEN:
    for name in HIDDEN:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Hidden())
    importlib.import_module("asyncio")  # from Python 3.12 on it asks `sysconf` itself as it is imported
    del os.sysconf
if "OUTSIDE_TRIED" in os.environ:
    sys.addaudithook(look)
