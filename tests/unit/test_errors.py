"""Named errors: what the wire says of them."""

from app import errors


def test_a_code_is_the_snake_case_of_its_class() -> None:
    assert errors.InvalidApiKey("x").code == "invalid_api_key"
    assert errors.TooLarge("x").code == "too_large"


def test_what_a_client_sent_is_shown_in_few_words() -> None:
    long = "x" * 300_000
    said = errors.UnknownKey(f"{long!r} is no key; there are a, b", param=long).body()
    assert len(said["message"]) < 2100 > len(said["param"])
    assert said["message"].startswith("'xx")
    assert said["message"].endswith("is no key; there are a, b")
