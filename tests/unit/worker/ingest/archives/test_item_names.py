import pytest

from worker.ingest.archives.item_names import Names

PATHS = ["images/cats/1.jpg", "images/cats/2.jpg", "images/dogs/1.jpg", "lone.png"]


@pytest.mark.parametrize(
    ("name", "folder", "found"),
    [
        ("images/cats/1.jpg", "", "images/cats/1.jpg"),
        ("images/cats/1.jpg", "meta", "images/cats/1.jpg"),
        ("cats/1.jpg", "images", "images/cats/1.jpg"),
        ("../images/cats/1.jpg", "meta", "images/cats/1.jpg"),
        ("./cats/1.jpg", "images", "images/cats/1.jpg"),
        ("cats/1.jpg", "meta", "images/cats/1.jpg"),
        ("dogs/1", "meta", "images/dogs/1.jpg"),
        ("2.jpg", "", "images/cats/2.jpg"),
        ("2", "", "images/cats/2.jpg"),
        ("2.jpg#3", "", "images/cats/2.jpg"),
        ("/home/me/data/images/dogs/1.jpg", "", "images/dogs/1.jpg"),
        ("/home/me/lone.png", "meta", "lone.png"),
        ("1.jpg", "", None),
        ("1", "", None),
        ("birds/2.jpg", "", None),
        ("cats/1.png", "", None),
        ("2.png", "", None),
        ("/home/me/dogs/2.jpg", "", None),
        ("", "", None),
        ("images/cats", "", None),
    ],
)
def test_what_a_name_means(name: str, folder: str, found: str | None) -> None:
    assert Names(PATHS).find(name, folder) == found
