"""Answers in the words of the real server: HTML for people, `X-Error` for who reads headers."""

from html import escape
from typing import Any

import orjson
from aiohttp import web

VERSION = "2.579"


def page(status: int, message: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with an HTML page."""
    said = escape(message)
    body = f"<!DOCTYPE html><html><head><title>{said}</title></head><body><h1>{said}</h1></body></html>"
    return web.Response(status=status, text=body, content_type="text/html", headers=headers)


def failure(message: str) -> web.Response:
    """Answer a `Failure`: 400 with the message in `X-Error`."""
    return page(400, message, headers={"X-Error": message})


def oops(message: str) -> web.Response:
    """Answer an exception that nobody caught."""
    return page(500, f"Oops! A problem occurred while processing the request. {message}")


def not_found() -> web.Response:
    """Answer what is not there, or may not be seen."""
    return page(404, "Not Found")


def moved(location: str, status: int = 302) -> web.Response:
    """Answer an action that succeeded by sending a browser elsewhere."""
    return web.Response(status=status, headers={"Location": location})


def shown(value: Any) -> web.Response:
    """Answer JSON."""
    return web.Response(body=orjson.dumps(value), content_type="application/json", charset="utf-8")


def xml(text: str) -> web.Response:
    """Answer a configuration."""
    return web.Response(text=text, content_type="application/xml", charset="utf-8")
