"""The program that a player attacks: a web server on a free port of loopback.

Started as ``python challenge.py DEPLOYMENT INSTANCE`` with its flag in FLAG. It prints its port
when it listens. Only ``socket`` is imported, so that it is there within milliseconds.
"""

import os
import socket

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            try:
                connection.settimeout(5)
                words = connection.recv(4096).decode("ascii", "replace").split()
                asked_for_flag = words[1:2] == ["/cgi-bin/flag"]
                body = os.environ["FLAG"] if asked_for_flag else "find the flag"
                connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{body}\n".encode())
            except OSError:
                continue
