"""gensim's skip-gram with negative sampling on a corpus of one text per line: run by a Python that has gensim.

Writes the vectors, and gensim's own test sets, into a folder; prints the seconds it took, reading included.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

import gensim
import numpy as np
from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence

SETS = ("wordsim353.tsv", "simlex999.txt", "questions-words.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--window", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    for name in SETS:
        shutil.copy(Path(gensim.__file__).parent / "test" / "test_data" / name, arguments.folder / name)
    began = time.perf_counter()
    model = Word2Vec(
        LineSentence(str(arguments.corpus)),
        sg=1,
        vector_size=arguments.width,
        window=arguments.window,
        epochs=arguments.epochs,
        workers=arguments.threads,
        seed=arguments.seed,
        min_count=1,
    )
    seconds = time.perf_counter() - began
    np.save(arguments.folder / "vectors.npy", model.wv.vectors)
    (arguments.folder / "words.json").write_text(json.dumps(model.wv.index_to_key))
    print(json.dumps({"seconds": seconds, "version": gensim.__version__}))


if __name__ == "__main__":
    main()
