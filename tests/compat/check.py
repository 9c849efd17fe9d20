"""Clients that are too heavy for every test run, against a real Rootstock: the Node SDK, LangChain, LlamaIndex.

    make compat

Each gets an environment of its own under XDG_CACHE_HOME on first use. The server runs on a temporary home, with a tiny
imported sentence encoder. What is not at hand (Node) is left out, with a message.
"""

import io
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from app.demo.service import Client, started
from tests import bert_folder

HERE = Path(__file__).parent
FRAMEWORKS = ("langchain-openai", "llama-index-embeddings-openai")


def main() -> int:
    """The exit status: 0 when all clients that are at hand work."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rootstock" / "compat"
    cache.mkdir(parents=True, exist_ok=True)
    with started() as client:
        take_in(client)
        environment = os.environ | {"BASE_URL": f"{client.http.base_url}/v1", "API_KEY": client.sdk.api_key}
        results = [
            subprocess.run(command, env=environment, cwd=folder, check=False).returncode
            for command, folder in (node(cache), frameworks(cache))
            if command
        ]
    return int(any(results))


def take_in(client: Client) -> None:
    """Imports the encoder `tiny`."""
    archive = io.BytesIO(bert_folder.zipped(bert_folder.files()))
    job = client.call("POST", "/v1/models/import", files={"file": ("tiny.zip", archive)}, data={"name": "tiny"})
    while not job["terminal"]:
        time.sleep(0.2)
        job = client.call("GET", f"/v1/jobs/{job['id']}")
    assert job["status"] == "succeeded", job["error"]


def node(cache: Path) -> tuple[list[str], Path]:
    """The command and folder of the Node SDK's check; no command where there is no Node."""
    folder = cache / "node"
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("node or npm is not installed; its SDK is left out")
        return [], folder
    folder.mkdir(exist_ok=True)
    if not (folder / "node_modules" / "openai").exists():
        command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", "openai"]
        subprocess.run(command, check=True)
    shutil.copy(HERE / "client.mjs", folder)
    return ["node", "client.mjs"], folder


def frameworks(cache: Path) -> tuple[list[str], Path]:
    """The command and folder of the check of LangChain and LlamaIndex."""
    folder = cache / "frameworks"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "-q", "install", *FRAMEWORKS], check=True)
        complete.touch()
    return [str(python), str(HERE / "frameworks.py")], folder


if __name__ == "__main__":
    sys.exit(main())
