"""Which form of an answer the header `Accept` asks for (RFC 9110, section 12.5.1)."""

import pytest

from app.api.negotiation import chosen

NPY, RAW = "application/x-npy", "application/octet-stream"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", None),
        ("*/*", None),
        ("application/*", None),
        ("application/json", None),
        ("text/html", None),
        ("*/*;q=0", None),
        (NPY, NPY),
        (RAW, RAW),
        ("Application/X-NPY", NPY),
        (f"{RAW}, {NPY}", NPY),
        (f"{NPY};q=0.5, {RAW}", RAW),
        (f"{NPY}, application/json", NPY),
        (f"application/json, {NPY}", NPY),
        (f"{NPY}, */*;q=0.1", NPY),
        (f"{NPY}, */*;q=0", NPY),
        (f"{NPY} ; q=0.9 , application/json", None),
        (f"{NPY};q=0.9, application/json;q=0.2, */*", NPY),
        (f"{NPY};q=0.9, */*", None),
        (f"{NPY};q=0", None),
        (f"{NPY};q=0.000, {RAW};Q=0.3", RAW),
        (f"{NPY};version=1;q=0.3, application/*;q=0.4", None),
        (f"{NPY};q=much", NPY),
        (f"{NPY};q=1e9", NPY),
        (f"{NPY}x", None),
        (",;,q=,", None),
    ],
)
def test_what_is_wanted_most_is_sent(accept: str, kind: str | None) -> None:
    assert chosen(accept, (NPY, RAW)) == kind
