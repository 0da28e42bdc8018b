"""Servers on loopback that are not the ones whose address was configured."""

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def not_http() -> Iterator[str]:
    """Run a server that greets every client as an SSH server does; yield HOST:PORT."""

    def greet(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                    client.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        host, port = listener.getsockname()
        yield f"{host}:{port}"
        listener.shutdown(socket.SHUT_RDWR)
