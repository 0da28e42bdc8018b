"""GET requests to the servers whose addresses the user sets, with one kind of error if no usable answer arrives."""

import base64
import http.client
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit


def get(url: str, timeout: float, max_bytes: int | None = None) -> bytes:
    """The body of the answer, or its first `max_bytes` bytes. timeout: in seconds, for each wait for the server.

    A user name and password in the URL are sent as Basic authentication, as the clients of MLflow and Prefect do.

    Raises:
        urllib.error.HTTPError: the server answers with an error status.
        OSError: the URL is invalid, no server answers, or what answers does not speak HTTP. The message says which; it
            contains neither the URL nor the password.
    """
    try:
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
        request = urllib.request.Request(parts._replace(netloc=host).geturl())  # noqa: S310
    except ValueError:  # `parts.port` also raises it, if the port is not a number
        raise OSError("not an address of the form http://HOST:PORT") from None
    if user:
        credentials = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")  # not sent to another server
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            body: bytes = response.read(max_bytes)
            return body
    except urllib.error.HTTPError:
        raise
    except http.client.HTTPException as error:
        raise OSError(f"the answer is not valid HTTP: {type(error).__name__}") from None
    except (OSError, ValueError) as error:  # ValueError: a host name or a redirection that cannot be used
        raise OSError(str(getattr(error, "reason", error))) from None
