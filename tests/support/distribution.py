"""A stand-in for the CloudFront distribution of template.yaml, in front of the local runtime."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.deployment import resources_of_type
from tests.support.proxies import sent_by_proxy
from tests.support.runtime import PROJECT
from tools.pages.versioned import versioned_files

#: Parameters with which the template has pages.
PAGES = {
    "PublicDomain": "login.example.com",
    "PagesCertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/1",
    "ProxyLocks": "blue",
}


def distribution(**parameters: str) -> dict[str, Any]:
    """Return the configuration of the template's distribution."""
    (properties,) = resources_of_type("AWS::CloudFront::Distribution", **{**PAGES, **parameters}).values()
    config: dict[str, Any] = properties["DistributionConfig"]
    return config


def origin_of(path: str, config: dict[str, Any]) -> str:
    """Return the id of the origin that gets a request, as CloudFront chooses it: by the first pattern that matches."""
    for behavior in config["CacheBehaviors"]:
        if fnmatchcase(path, behavior["PathPattern"]):
            return str(behavior["TargetOriginId"])
    return str(config["DefaultCacheBehavior"]["TargetOriginId"])


def page_headers() -> dict[str, str]:
    """Return the header fields that the distribution adds to the files of the pages."""
    (policy,) = resources_of_type("AWS::CloudFront::ResponseHeadersPolicy", **PAGES).values()
    config = policy["ResponseHeadersPolicyConfig"]
    security = config["SecurityHeadersConfig"]
    hsts = security["StrictTransportSecurity"]
    return {item["Header"]: item["Value"] for item in config["CustomHeadersConfig"]["Items"]} | {
        "Content-Security-Policy": security["ContentSecurityPolicy"]["ContentSecurityPolicy"],
        "Referrer-Policy": security["ReferrerPolicy"]["ReferrerPolicy"],
        "Strict-Transport-Security": f"max-age={hsts['AccessControlMaxAgeSec']}"
        + ("; includeSubDomains" if hsts["IncludeSubdomains"] else ""),
        **({"X-Content-Type-Options": "nosniff"} if security["ContentTypeOptions"] else {}),
    }


@dataclass
class StandIn:
    """The running stand-in. Set ``api`` to the URL of the local runtime before the first request."""

    url: str
    api: str = ""
    #: Each path that the API got.
    api_paths: list[str] = field(default_factory=list)


@contextmanager
def running_distribution() -> Iterator[StandIn]:
    """Serve the published pages and the API on a free port of localhost, as the template's distribution does."""
    config, headers = distribution(), page_headers()
    files = {file.key: file for file in versioned_files(PROJECT / "public")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if origin_of(path, config) == "api":
                self.call_api()
                return
            file = files.get(path[1:] or config["DefaultRootObject"])
            if file is None:
                self.send_error(403)
                return
            self.send_response(200)
            own = {"Content-Type": file.media_type, "Cache-Control": file.cache_control}
            for name, value in {**own, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(file.content)

        def call_api(self) -> None:
            stand_in.api_paths.append(self.path)
            replaced = sent_by_proxy()
            dropped = {"host", "cookie", *(name.lower() for name in replaced)}
            sent = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            connection = HTTPConnection(urlsplit(stand_in.api).netloc, timeout=60)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, self.path, body, {**sent, **replaced})
            response = connection.getresponse()
            content = response.read()
            connection.close()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in {"transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = call_api  # noqa: N815 - names of BaseHTTPRequestHandler

        def log_message(self, *_: object) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in = StandIn(f"http://localhost:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield stand_in
        server.shutdown()
