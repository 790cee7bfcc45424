"""The web server of a study, and the links that lead to it."""

from __future__ import annotations

import csv
import errno
import io
import socket
from collections.abc import Callable
from pathlib import Path

from safelatent.errors import BadValueError
from safelatent.optional import require
from safelatent.storage import write_whole
from safelatent.study.app import MOST_RATERS, Links, app_of
from safelatent.study.folder import LINKS, Study, StudyError, cannot_write
from safelatent.study.store import Answers

IDLE = 75  # seconds that a connection is kept while a rater looks at a pair


def serve(
    study: Study,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    raters: int = 10,
    url: str | None = None,
    started: Callable[[str, Path], None] | None = None,
) -> None:
    """Serve a study until the process is interrupted or terminated.

    Args:
        study: which.
        host, port: where to listen; port 0 takes a free one.
        raters: number of links in ``links.csv``; raters that had one keep theirs.
        url: what the links begin with, if raters reach the server by another address.
        started: is given that address and the file of links, once requests are taken.

    Raises:
        BadValueError: a value is out of range, or the database is another study's.
        StudyError: the port is in use, the address cannot be listened on, pictures are gone, or
            the database or the folder cannot be used.
        UnsupportedError: the extra ``study`` is not installed.
    """
    uvicorn = require("uvicorn", extra="study", purpose="a study")
    _check(port=port, raters=raters, url=url)
    study.check_pictures()
    with Answers(study) as answers, _listening(host, port) as listening:
        begin = (url or f"http://{_named(host)}:{listening.getsockname()[1]}").rstrip("/")
        links = write_links(study, begin, raters)
        # Without an access log: it would hold addresses of raters, and links.
        config = uvicorn.Config(
            app_of(study, answers),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=IDLE,
        )
        if started is not None:
            started(begin, links)
        uvicorn.Server(config).run(sockets=[listening])


def write_links(study: Study, url: str, raters: int) -> Path:
    """Write one link per rater; return the file.

    Raises:
        StudyError: the folder cannot be written.
    """
    out, links = io.StringIO(), Links(study)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("rater", "link"))
    writer.writerows((n, f"{url}/r/{links.token(n)}") for n in range(1, raters + 1))
    try:
        return write_whole(study.folder / LINKS, out.getvalue().encode(), mode=0o600)
    except OSError as error:
        raise cannot_write(study.folder, error) from error


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, so that a port in use is an error before anything else."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        family, kind, protocol, _, address = found
        # asyncio turns off Nagle's delay, 40 ms a page, only where the socket names its protocol.
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from error
    return listening


def _cannot_listen(host: str, port: int, error: OSError) -> StudyError:
    if error.errno == errno.EADDRINUSE:
        return StudyError(
            f"port {port} of {host} is in use; name another with --port, or 0 for any free one"
        )
    return StudyError(
        f"cannot listen on port {port} of {host}: {error.strerror or error}; name another --host or"
        " --port"
    )


def _named(host: str) -> str:
    """Return the host as it stands in an address."""
    return {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(  # noqa: S104
        host, f"[{host}]" if ":" in host else host
    )


def _check(*, port: int, raters: int, url: str | None) -> None:
    for name, value, least, most in (
        ("port", port, 0, 65535),
        ("raters", raters, 1, MOST_RATERS),
    ):
        if type(value) is not int or not least <= value <= most:
            raise BadValueError(
                f"{name} is {value!r}; it must be a whole number from {least} to {most:,}"
            )
    if url is not None and not url.startswith(("http://", "https://")):
        raise BadValueError(f"url is {url!r}; it must begin with http:// or https://")
