"""TF-IDF with SVD behind FastAPI, as somebody would write it with scikit-learn. Imports nothing of app.

    python benchmarks/peers/text_peer.py FILE WIDTH PORT

FILE holds the texts to learn from as a JSON list.
"""

import json
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer


class Request(BaseModel):
    model: str
    input: str | list[str]


def main(file: Path, width: int, port: int) -> None:
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
    pipeline = make_pipeline(words, TruncatedSVD(width, random_state=0), Normalizer())
    pipeline.fit(json.loads(file.read_text()))
    app = FastAPI()

    @app.post("/v1/embeddings")
    def embed(request: Request) -> dict[str, object]:
        texts = [request.input] if isinstance(request.input, str) else request.input
        rows = pipeline.transform(texts).tolist()
        data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
        return {"object": "list", "model": request.model, "data": data}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
