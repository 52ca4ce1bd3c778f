"""Starts a program in a network namespace that has nothing but its loopback: unshare -rn python alone.py PROGRAM ...

A namespace begins with its loopback down.
"""

import fcntl
import os
import socket
import struct
import sys

SET_FLAGS, UP = 0x8914, 0x1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14x", b"lo", UP))
os.execvp(sys.argv[1], sys.argv[1:])
