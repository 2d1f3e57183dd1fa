"""Posts to a database on the web: sessions, TLS, what broke, bodies divided where need be."""

from __future__ import annotations

import base64
import gzip
import ssl
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from requests import RequestException, Response, Session
from requests.exceptions import ReadTimeout

from gapcast.engine.errors import SinkError
from gapcast.engine.plugin import Params
from gapcast.engine.redaction import remember
from gapcast.engine.units import Duration
from gapcast.plugins.sinks.bodies import Body


def _plain(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no user, password or query; use user and password")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_plain)]
"""An address without secrets and without a slash at its end."""


class HttpParams(Params):
    """What every sink needs to know that posts to a server."""

    url: Url = Field(description="http:// or https:// with host, port and perhaps a path.")
    user: str | None = Field(default=None, description="For basic authentication.")
    password: SecretStr | None = Field(default=None, description="Write it as ${NAME}.")
    ca: Path | None = Field(
        default=None, description="Certificates of authorities to trust, PEM; default: the usual."
    )
    timeout: Duration = Field(
        default=30_000_000,
        gt=0,
        description="How long an answer may take; then the post is retried.",
    )
    gzip: bool = Field(default=True, description="Compress posts.")


def login(user: str, password: SecretStr) -> str:
    """The header `Authorization` of basic authentication; it is not shown from then on."""
    token = base64.b64encode(f"{user}:{password.get_secret_value()}".encode()).decode()
    remember(token, "user:password")
    return f"Basic {token}"


@dataclass
class Sent:
    """What became of a body: each of its points is in exactly one of the three.

    again: what was not confirmed, `reason` saying why.
    """

    stored: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    again: list[Body] = field(default_factory=list)
    reason: str = ""


class Split(Exception):
    """The answer is about the body as a whole: halves will tell more."""


class Http(ABC):
    """Posts bodies, each thread in a session of its own, which holds one connection."""

    kind: ClassVar[str]
    """The content's type."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        ca: Path | None,
        seconds: float,
        compress: bool,
    ) -> None:
        self.url = url
        self._headers = {"Content-Type": self.kind, **headers}
        if compress:
            self._headers = {"Content-Encoding": "gzip", **self._headers}
        self._verify: str | bool = str(ca) if ca else True
        try:
            ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise SinkError(f"ca: {ca} cannot be read: {error.strerror or error}") from None
        self._seconds = seconds
        self._compress = compress
        self._threads = threading.local()
        self._open: list[Session] = []
        self._most = 1 << 62

    def post(self, body: Body) -> Sent:
        """Post the points of `body`, in several posts if need be.

        Raises SinkError where no repetition could help: a certificate that does not hold, a
        password rejected, an address that is another service's.
        """
        sent = Sent()
        waiting = deque([body])
        while waiting and not sent.again:
            one = waiting.popleft()
            if len(one.text) > self._most and len(one) > 1:
                waiting.extendleft(reversed(one.halves()))
                continue
            try:
                self._post(one, sent)
            except Split:
                waiting.extendleft(reversed(one.halves()))
        sent.again += waiting
        return sent

    def close(self) -> None:
        """Close every connection."""
        for session in self._open:
            session.close()

    @property
    def _session(self) -> Session:
        """This thread's own. Closed, it connects anew with the next request."""
        known: Session | None = getattr(self._threads, "session", None)
        if known is None:
            known = Session()
            known.trust_env = False  # a .netrc or a proxy of the environment is nobody's wish here
            known.verify = self._verify
            known.headers.update(self._headers)
            self._threads.session = known
            self._open.append(known)
        return known

    def _call(self, method: str, path: str, content: bytes | None = None) -> Response:
        session = self._session
        if content is not None and self._compress:
            content = gzip.compress(content, 1)
        try:
            return session.request(
                method,
                self.url + path,
                data=content,
                timeout=(self._seconds, self._seconds),
                allow_redirects=False,
            )
        except (RequestException, OSError):
            session.close()
            raise

    @abstractmethod
    def _post(self, body: Body, sent: Sent) -> None:
        """Post `body` and say in `sent` what became of its points, or raise `Split`."""

    def _broken(self, error: RequestException) -> str:
        """Why there is no answer. Raises SinkError if the certificate does not hold."""
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise SinkError(
                    f"{self.url}: its certificate is rejected: {cause.verify_message}; "
                    "name the authority that signed it in ca, or mend the certificate"
                ) from None
            if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
                raise SinkError(f"{self.url} does not speak TLS; is it http://?") from None
        if isinstance(error, ValueError):  # requests' own of a URL or a header that cannot be sent
            raise SinkError(f"{self.url}: not sent: {type(error).__name__}") from None
        if isinstance(error, ReadTimeout):
            return f"{self.url} gave no answer for {self._seconds:g} s"
        last = next((c for c in reversed(causes) if isinstance(c, OSError)), error)
        said = last.strerror if isinstance(last, OSError) and last.strerror else type(last).__name__
        return f"{self.url} cannot be reached: {said}"


def was_cut(error: BaseException) -> bool:
    """Whether a connection broke that had been made: the way OpenTSDB drops a body too large."""
    kinds = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)
    return any(isinstance(cause, kinds) for cause in _causes(error))


def _causes(error: BaseException | None) -> Any:
    """An error and what it was raised from or carries."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            carried = [a for a in one.args if isinstance(a, BaseException)]
            waiting += [one.__context__, one.__cause__, getattr(one, "reason", None), *carried]
