"""What tests ask of a refusal: the envelope, whole, with status, code and param."""

import httpx


def refused(response: httpx.Response, status: int, code: str, param: str | None = None) -> str:
    """Asserts the envelope; returns its message."""
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param), error
    assert error["message"]
    assert error["type"]
    return str(error["message"])
