"""Start board processes from one thread that lives as long as this process.

A board asks the kernel to be killed when its parent dies. To Linux the parent is the THREAD that started it,
so a board started from a worker thread would die with that worker.
"""

import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import IO

_Request = tuple[Future["subprocess.Popen[bytes]"], Sequence[str], dict[str, str], tuple[int, ...], IO[bytes]]

_requests: "queue.SimpleQueue[_Request]" = queue.SimpleQueue()
_started_by = 0
_starting = threading.Lock()


def _serve(requests: "queue.SimpleQueue[_Request]") -> None:
    while True:
        future, argv, environment, descriptors, log = requests.get()
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                pass_fds=descriptors,
                # A Ctrl-C at the operator's terminal is for picofed, not for the boards.
                start_new_session=True,
            )
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(process)


def spawn(
    argv: Sequence[str], environment: dict[str, str], descriptors: tuple[int, ...], log: IO[bytes]
) -> "subprocess.Popen[bytes]":
    """Start `argv` with exactly `environment`, `descriptors` inherited and its messages in `log`."""
    global _requests, _started_by
    with _starting:
        # A forked child has no threads of its parent's.
        if _started_by != os.getpid():
            _requests = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(_requests,), name="picofed-boards", daemon=True).start()
            _started_by = os.getpid()
        requests = _requests
    future: Future[subprocess.Popen[bytes]] = Future()
    requests.put((future, argv, environment, descriptors, log))
    return future.result()
