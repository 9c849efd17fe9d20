"""Sentences per second over HTTP of models that were learned from texts here: Rootstock beside scikit-learn by hand.

Two models learn from glosses of WordNet without labels: the default of texts, and `tfidf_svd`. The peer is TF-IDF with
SVD of the same width, fitted to the same texts by scikit-learn, behind FastAPI. One process each on loopback; the load
is a closed loop of different sentences, 16 connections, in rounds that alternate; what is printed are medians.

    .venv/bin/python benchmarks/text_serving.py [--seconds 2] [--rounds 5] [--texts 20000]
"""

import argparse
import contextlib
import json
import tempfile
from pathlib import Path

from labelled_texts import rows
from sentence_load import messages
from sentences import measure
from side_by_side import KEYS, alternating, answering, environment, middle, running, times

from app.demo.service import Client, started

WIDTH, PORT = 256, 18190
CASES = {"one": "1 sentence", "many": "32 sentences"}
MODELS = {"default": {}, "tfidf": {"objective": {"name": "tfidf_svd"}}}
WARM_SECONDS = 0.7


def learn(client: Client, texts: list[str]) -> None:
    lines = "\n".join(json.dumps({"text": text}) for text in texts).encode()
    dataset = client.dataset("texts.jsonl", lines, {"name": "glosses", "modality": "text"})
    for name, settings in MODELS.items():
        client.train(name, {"kind": "pretrain", "name": name, "dataset": dataset, **settings})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=20_000, help="to learn from and to ask with")
    arguments = parser.parse_args()
    texts = [text for _, text in rows("glosses", Path.home() / ".cache" / "rootstock-benchmarks", 0, arguments.texts)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts))
        client = stack.enter_context(started())
        learn(client, texts)
        own, key = client.http.base_url.port or 80, client.sdk.api_key
        ports = dict.fromkeys(MODELS, own)
        python = environment("text-peer", ("scikit-learn", "fastapi", "uvicorn[standard]"))
        if python is not None:
            log = Path(folder) / "scikit-learn.log"
            program = [python, Path(__file__).parent / "peers" / "text_peer.py", file, WIDTH, PORT]
            one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # which it answers sooner with
            peer = stack.enter_context(running(program, log, **one_thread))
            answering(peer, log, PORT, messages("rootstock", "", 1, 0, "")[0])
            ports["scikit-learn"] = PORT
        print("\nrequest       model         requests/s   p50 ms   p95 ms   p99 ms  the default is … times as fast")
        for case, what in CASES.items():
            rounds = alternating(
                ports,
                lambda name, seconds, case=case: measure("rootstock", ports[name], key, case, seconds, name, file),
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                warm=WARM_SECONDS,
            )
            for name, parts in rounds.items():
                rate, *quantiles = middle(parts, *KEYS)
                shown = "  ".join(f"{value:7.2f}" for value in quantiles)
                ratio = times(rounds, "default", name)
                print(f"{what:12}  {name:12}  {rate:10.0f}  {shown}  {ratio:20.2f}", flush=True)


if __name__ == "__main__":
    main()
