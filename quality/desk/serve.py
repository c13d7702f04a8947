"""Serve the desk from this process until it is interrupted."""

import socket

import uvicorn

from linkage.errors import UsageError
from quality.desk.app import application
from quality.desk.visit import Desk


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises UsageError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"The desk cannot listen on {host}, port {port}: {error.strerror}. Choose another with --port."
        ) from None
    return listener


def server_of(desk: Desk) -> uvicorn.Server:
    """A server of the desk. It logs no request, for a sign-in address holds a token."""
    return uvicorn.Server(
        uvicorn.Config(
            application(desk),
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
        )
    )
