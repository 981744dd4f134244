"""On PYTHONPATH: Python processes, workers too, that may not reach a network.

What is refused is noted in the file NO_NETWORK_LOG as well, since libraries pass over a network that is not there.
"""

import os
import socket
import sys


def _note(line: str) -> None:
    with open(os.environ["NO_NETWORK_LOG"], "a", encoding="utf-8") as log:
        log.write(line + "\n")


def _refuse(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        reaches_out = arguments[0].family != socket.AF_UNIX
    else:
        reaches_out = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
    if reaches_out:
        _note(f"refused {event} {arguments[-1] if 'connect' in event else arguments[0]}")
        raise OSError(f"no network in this test: {event}")


_note(f"process {os.getpid()}")
sys.addaudithook(_refuse)
