"""A server with models, which all tests of a file ask."""

from collections.abc import Iterator

import httpx
import pytest

from app.main import create_app
from app.ml import artifact
from app.settings import Settings
from tests import networks
from tests.service import ADMIN_KEY, MOST_WAITING, House, opened, publish, serving


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, max_waiting=MOST_WAITING, max_body_bytes=6 * 1024 * 1024)
    database, storage, project = opened(settings)
    publish(database, storage, project, "tiny", networks.write(home / "tiny"))
    publish(database, storage, project, "wide", networks.write(home / "wide", width=784))
    publish(database, storage, project, "picture", networks.write(home / "picture", modality="image"))
    publish(
        database, storage, project, "graft", networks.write(home / "g", modality="image", objective="classification")
    )
    publish(database, storage, project, "finder", networks.write(home / "f", modality="image", objective="detection"))
    nested = networks.write(home / "nested", objective="contrastive", matryoshka=[3, 2])
    publish(database, storage, project, "nested", nested)
    publish(database, storage, project, "reader", networks.write(home / "reader", modality="text"))
    damaged = publish(database, storage, project, "damaged", networks.write(home / "damaged"))
    assert damaged.number == 1
    path = settings.folder / "storage" / "models" / "damaged" / artifact.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    app = create_app(settings)
    with (
        serving(app) as url,
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=60) as client,
    ):
        yield House(url, database, storage, project, client, app.state.services.serving.permits)
    database.close()
