"""How GoDaddy words its errors: `{"code", "message", "fields"}`."""

from aiohttp import web


class Problem(Exception):
    """An answer other than success.

    Attributes:
        fields: `[{"code", "message", "path"}]`, for 422.
    """

    def __init__(self, status: int, code: str, message: str, *, path: str = "", field_code: str = "") -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = [{"code": field_code or code, "message": message, "path": path}] if path else []

    def answer(self) -> web.Response:
        """Word it as JSON."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.fields:
            body["fields"] = self.fields
        return web.json_response(body, status=self.status)


def unknown_domain(domain: str) -> Problem:
    """The domain is not in this account, or has no zone here."""
    return Problem(404, "UNKNOWN_DOMAIN", f"The given domain is not registered, or does not have a zone file: {domain}")


def invalid_body() -> Problem:
    """The body is not an array."""
    return Problem(422, "INVALID_BODY", "Request body doesn't fulfill schema, see details in `fields`", path="records")


def conflicting(name: str, index: int) -> Problem:
    """A CNAME stands, or would stand, beside another record of its name."""
    message = f"Record name {name} conflicts with another record: a CNAME is exclusive at its name"
    return Problem(422, "DUPLICATE_RECORD", message, path=f"records[{index}].name")
