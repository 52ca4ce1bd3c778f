"""Keeps a server from outliving the test session: guard.py SIGNAL GRACE_S COMMAND...

Starts the command in a session of its own, so that Ctrl-C does not reach it, and prints its process id. When the
standard input ends (the session closed it, or died, even of kill -9) it sends SIGNAL, and after GRACE_S seconds SIGKILL
to all.
Imports little: it starts for every server.
"""

import os
import select
import signal
import sys


def main() -> int:
    """Run the command until it ends or the standard input does; the status is the command's."""
    stop_signal, grace_s, command = signal.Signals[sys.argv[1]], float(sys.argv[2]), sys.argv[3:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    started, starting = os.pipe()  # closed by exec: then the command has its own session and can be signalled
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)  # standard output belongs to the guard alone
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    os.close(starting)
    os.read(started, 1)
    print(child, flush=True)
    ended = os.pidfd_open(child)
    readable, _, _ = select.select([0, ended], [], [])
    if ended not in readable:
        os.kill(child, signal.SIGCONT)
        os.kill(child, stop_signal)
        select.select([ended], [], [], grace_s)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    raise SystemExit(main())
