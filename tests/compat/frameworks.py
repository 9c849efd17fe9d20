"""LangChain's and LlamaIndex' own OpenAI embedding classes against a running Rootstock, with nothing but a base URL.

BASE_URL=… API_KEY=… python frameworks.py     in an environment that has them
"""

import asyncio
import os
from importlib.metadata import version

from langchain_openai import OpenAIEmbeddings
from llama_index.embeddings.openai import OpenAIEmbedding
from openai import OpenAI

TEXTS = ["a rose is a rose", "tree", "rooted trees !"]
URL, KEY = os.environ["BASE_URL"], os.environ["API_KEY"]


def near(given: list[list[float]], wanted: list[list[float]]) -> bool:
    return all(
        abs(one - other) < 1e-5
        for row, known in zip(given, wanted, strict=True)
        for one, other in zip(row, known, strict=True)
    )


with OpenAI(base_url=URL, api_key=KEY) as client:
    wanted = [each.embedding for each in client.embeddings.create(model="tiny", input=TEXTS).data]

# without this switch LangChain sends the ids of OpenAI's own tokenizer, which no other model has
langchain = OpenAIEmbeddings(model="tiny", base_url=URL, api_key=KEY, check_embedding_ctx_length=False)
assert near(langchain.embed_documents(TEXTS), wanted)
assert near([langchain.embed_query(TEXTS[0])], wanted[:1])
assert near(asyncio.run(langchain.aembed_documents(TEXTS)), wanted)

llama = OpenAIEmbedding(model_name="tiny", api_base=URL, api_key=KEY)
assert near(llama.get_text_embedding_batch(TEXTS), wanted)
assert near([llama.get_query_embedding(TEXTS[0])], wanted[:1])
assert near([asyncio.run(llama.aget_text_embedding(TEXTS[1]))], wanted[1:2])

print("ok:", ", ".join(f"{name} {version(name)}" for name in ("langchain-openai", "llama-index-embeddings-openai")))
