"""What the environment may say, and what is told where it says something else."""

import pytest

from app.settings import Settings, SettingsError, read_settings

WRONG = {
    "device": {"gpu", "", "cuda:x", "cuda:", "mps"},
    "database_url": {"mysql://host/name", "garden.db"},
    "broker_url": {"amqp://host", "redis://", "localhost:6379", "redis://host/first", "redis://:a/b@host/0"},
    "storage_url": {"/folder", "gs://bucket", "file://host/folder", "s3://", "bucket"},
    "cors_origins": {"example.org", "https://example.org/path", "https://a.org https://b.org"},
    "port": {"http", "65536", "-1", ""},
    "devices": {"two", "0", "65", "1.5"},
    "max_file_bytes": {"16GB", "0", "1e9"},
    "lease_seconds": {"30s", "0", "-1", "nan", "inf"},
    "keep_unused_files_seconds": {"7d", "-1", "inf"},
    "max_attempts": {"0", "many"},
}
RIGHT = {
    "device": "auto, cpu, cuda, or one GPU of several, such as cuda:1",
    "database_url": "postgresql://user:password@host/name or sqlite:////folder/file",
    "broker_url": "redis://:password@host:6379/0 or rediss://…, where a / of the password is written %2F",
    "storage_url": "file:///folder or s3://bucket/prefix",
    "cors_origins": "origins without a path, such as https://app.example.org, http://localhost:3000, or * for all",
    "port": "a whole number from 0 to 65535",
    "devices": "a whole number from 1 to 64",
    "max_file_bytes": "a whole number of bytes, at least 1",
    "lease_seconds": "a number of seconds above 0",
    "keep_unused_files_seconds": "a number of seconds, at least 0",
    "max_attempts": "a whole number, at least 1",
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in sorted(values)]
)
def test_a_wrong_value_is_told_with_what_would_be_right(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"ROOTSTOCK_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    given = "…" if name.endswith("_url") else repr(value)
    assert str(caught.value) == f"{variable}={given}: expected {RIGHT[name]}"


@pytest.mark.parametrize(
    "value",
    [
        *("redis://host", "redis://:a%2Fb@host:6379/0", "rediss://user:a@host:6380/2?ssl_cert_reqs=required"),
        *("redis://a:6379//", "redis://a/0;redis://b/0", "sentinel://a:26379;sentinel://b:26379"),
    ],
)
def test_brokers_are_named_as_their_library_has_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTSTOCK_BROKER_URL", value)
    assert read_settings().broker_url == value


def test_no_setting_has_words_of_the_library_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number is asked of every setting that is one, and nobody is told of patterns, parsers or inputs."""
    texts = {
        "home",
        "host",
        "admin_key",
        "preload",
        "database_url",
        "broker_url",
        "storage_url",
        "cors_origins",
        "device",
    }
    numbers = sorted(Settings.model_fields.keys() - texts)
    for name in numbers:
        monkeypatch.setenv(f"ROOTSTOCK_{name.upper()}", "much")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    lines = str(caught.value).splitlines()
    assert [line.partition("=")[0] for line in sorted(lines)] == [f"ROOTSTOCK_{name.upper()}" for name in numbers]
    assert all("='much': expected a " in line and "nput" not in line for line in lines)


def test_what_is_right_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "device": "cuda:3",
        "database_url": "postgresql+psycopg://tree:secret@host/garden",
        "broker_url": "rediss://:secret@host:6379/0",
        "storage_url": "s3://bucket/prefix",
        "cors_origins": "https://app.example.org, http://localhost:3000",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"ROOTSTOCK_{name.upper()}", value)
    assert {name: getattr(read_settings(), name) for name in given} == given
    for name in ("database_url", "broker_url", "storage_url"):
        monkeypatch.setenv(f"ROOTSTOCK_{name.upper()}", "")
        assert getattr(read_settings(), name) is None
