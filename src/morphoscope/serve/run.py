"""Run the server until it is told to end."""

from __future__ import annotations

import socket
import tempfile

from morphoscope.errors import RequestError
from morphoscope.progress import say
from morphoscope.serve.settings import ServeSettings

__all__ = ["serve"]

# Requests that wait in the kernel, and the seconds that those under way get at the end.
BACKLOG = 2048
GRACE_S = 20


def serve(settings: ServeSettings) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    settings
        Of the server.

    Raises
    ------
    RequestError
        The address cannot be listened on.
    BundleError
        There is no model to serve.
    """
    import uvicorn

    from morphoscope.serve.app import create_app
    from morphoscope.serve.logs import open_log

    listening = _listen(settings.host, settings.port)
    port = listening.getsockname()[1]
    open_log()
    app = create_app(settings)
    # One folder is written to, by what libraries put aside too, as large uploads.
    tempfile.tempdir = str(app.state.service.store.incoming)
    # Before the first request is taken: what is wrong with the models is said at once.
    app.state.service.shelf.open()
    for name, why in app.state.service.shelf.refused.items():
        say(f"WARNING: {name} is not served: {why}", style="bold red")
    say(f"models: {', '.join(app.state.service.shelf.models)}")
    say(f"http://{settings.host}:{port}/ (stop with Ctrl-C)")
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise RequestError(
            f"{host}:{port} cannot be listened on ({error.strerror})",
            do="end the other server, or choose another --port",
        ) from error
    return listening
