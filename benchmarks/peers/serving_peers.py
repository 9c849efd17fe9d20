"""The reference autoencoder's encoder behind other servers, as their first pages would have it. Imports nothing of app.

    python benchmarks/peers/serving_peers.py fastapi|litserve|bentoml|mlflow|echo FOLDER PORT

FOLDER holds an artifact of Rootstock. Every server scales and embeds with one torch thread, in one process of its own.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


class Encoder:
    """Scaling and layers, as the artifact has them."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        fitted = json.loads((folder / "model.json").read_text())["fitted"]["input"]
        self.offset, self.scale = torch.tensor(fitted["offset"]), torch.tensor(fitted["scale"])
        tensors = load_file(folder / "weights.safetensors")
        names = [name.removesuffix(".weight") for name in tensors if name.startswith("encoders.input.")]
        names = sorted((n for n in names if f"{n}.weight" in tensors), key=lambda n: -tensors[f"{n}.weight"].shape[1])
        layers: list[torch.nn.Module] = []
        for name in [*names, "bottleneck"]:
            weight = tensors[f"{name}.weight"]
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": tensors[f"{name}.bias"]})
            layers += [layer, torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1]).eval()

    def __call__(self, rows: Any) -> list[list[float]]:
        with torch.inference_mode():
            codes: list[list[float]] = self.network(
                (torch.as_tensor(rows, dtype=torch.float32) - self.offset) / self.scale
            ).tolist()
            return codes


def serve_fastapi(folder: Path, port: int) -> None:
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    encoder, app = Encoder(folder), FastAPI()

    class Request(BaseModel):
        model: str
        input: list[list[float]]

    @app.post("/v1/embeddings")
    def embed(request: Request) -> dict[str, object]:
        codes = encoder(request.input)
        data = [{"object": "embedding", "index": index, "embedding": code} for index, code in enumerate(codes)]
        return {"object": "list", "model": request.model, "data": data}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def written(folder: Path, name: str, *lines: str) -> Path:
    """A service's own file, which finds this one."""
    found = ["import sys", "from pathlib import Path", f"sys.path.insert(0, {str(Path(__file__).parent)!r})"]
    source = folder / name
    source.write_text("\n".join([*found, "from serving_peers import Encoder", *lines, ""]))
    return source


def become(*command: str) -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.execv(sys.executable, [sys.executable, *command])


def serve_litserve(folder: Path, port: int) -> None:
    source = written(
        folder,
        "lit_service.py",
        "import litserve",
        "class Api(litserve.LitAPI):",
        f"    def setup(self, device): self.encoder = Encoder(Path({str(folder)!r}))",
        "    def decode_request(self, request): return request['input']",
        "    def predict(self, rows): return self.encoder(rows)",
        "    def encode_response(self, codes): return {'embeddings': codes}",
        "if __name__ == '__main__':",
        "    server = litserve.LitServer(Api(), accelerator='cpu', workers_per_device=1)",
        f"    server.run(host='127.0.0.1', port={port}, log_level='error', generate_client_file=False)",
    )
    become(str(source))


def serve_bentoml(folder: Path, port: int) -> None:
    written(
        folder,
        "bento_service.py",
        "import bentoml",
        "@bentoml.service(workers=1)",
        "class Embedder:",
        f"    def __init__(self): self.encoder = Encoder(Path({str(folder)!r}))",
        "    @bentoml.api",
        "    def embed(self, input: list[list[float]]) -> list[list[float]]: return self.encoder(input)",
    )
    os.chdir(folder)
    become("-m", "bentoml", "serve", "bento_service:Embedder", "--host", "127.0.0.1", "--port", str(port), "--quiet")


def serve_mlflow(folder: Path, port: int) -> None:
    import mlflow.pyfunc

    source = written(
        folder,
        "mlflow_service.py",
        "import mlflow",
        "class Embedder(mlflow.pyfunc.PythonModel):",
        f"    def load_context(self, context): self.encoder = Encoder(Path({str(folder)!r}))",
        "    def predict(self, context, model_input, params=None): return self.encoder(model_input)",
        "mlflow.models.set_model(Embedder())",
    )
    model = folder / "mlflow-model"
    mlflow.pyfunc.save_model(model, python_model=str(source), pip_requirements=[])
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    become("-m", "mlflow", "models", "serve", "-m", str(model), "--env-manager", "local", *address)


def serve_echo(folder: Path, port: int) -> None:
    """Reads the body and answers as many bytes as Rootstock does: the floor under every server here."""
    import uvicorn

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        size = int(dict(scope["headers"]).get(b"x-answer", b"32"))
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    uvicorn.run(echo, host="127.0.0.1", port=port, log_level="error", access_log=False)


SERVERS = {
    "fastapi": serve_fastapi,
    "litserve": serve_litserve,
    "bentoml": serve_bentoml,
    "mlflow": serve_mlflow,
    "echo": serve_echo,
}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](Path(sys.argv[2]).resolve(), int(sys.argv[3]))
