"""The few HTML pages a client of CTFd meets."""

from __future__ import annotations

from html import escape

_TITLES = {401: "Unauthorized", 403: "Forbidden", 404: "File not found", 500: "Internal Error"}


def redirecting(location: str) -> str:
    """What Werkzeug sends along with a redirect."""
    shown = escape(location)
    return (
        "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n"
        "<h1>Redirecting...</h1>\n<p>You should be redirected automatically to the target URL: "
        f'<a href="{shown}">{shown}</a>. If not, click the link.\n'
    )


def error(status: int, message: str) -> str:
    """An error page."""
    title = _TITLES.get(status, "Error")
    return _page(title, f"<h1>{status}</h1>\n<h2>{title}</h2>\n<p>{escape(message)}</p>", nonce="")


def login(nonce: str, name: str = "", complaint: str = "") -> str:
    """The login form; the nonce is in it twice, as docs/whale-wire.md says."""
    alert = f'<div class="alert alert-danger"><span>{escape(complaint)}</span></div>\n'
    form = (
        '<form method="post" accept-charset="utf-8">\n'
        f'<input class="form-control" id="name" name="name" type="text" value="{escape(name)}">\n'
        '<input class="form-control" id="password" name="password" type="password" value="">\n'
        '<input id="_submit" name="_submit" type="submit" value="Submit">\n'
        f'<input id="nonce" name="nonce" type="hidden" value="{nonce}">\n'
        "</form>"
    )
    return _page("Login", f"<h1>Login</h1>\n{alert if complaint else ''}{form}", nonce)


def plain(title: str, nonce: str) -> str:
    """Any other page: it matters only that it carries the session's nonce."""
    return _page(title, f"<h1>{escape(title)}</h1>", nonce)


def _page(title: str, content: str, nonce: str) -> str:
    return (
        "<!DOCTYPE html>\n<html>\n<head>\n"
        f'<title>{escape(title)}</title>\n<meta charset="utf-8">\n'
        '<script type="text/javascript">\nvar init = {\n'
        "  'urlRoot': \"\",\n"
        f"  'csrfNonce': \"{nonce}\",\n"
        "};\n</script>\n</head>\n<body>\n"
        f"{content}\n</body>\n</html>\n"
    )
