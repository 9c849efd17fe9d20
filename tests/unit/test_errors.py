"""Named errors: what the wire says of them."""

from app import errors


def test_a_code_is_the_snake_case_of_its_class() -> None:
    assert errors.InvalidApiKey("x").code == "invalid_api_key"
    assert errors.TooLarge("x").code == "too_large"
