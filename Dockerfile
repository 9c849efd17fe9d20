# One image for every process: `api` (the default), `worker train`, `worker data`, `migrate`.
#
#   docker build -t rootstock .
#   docker build -t rootstock --build-arg TORCH_INDEX_URL=<index of the torch builds you want, for example CPU only> .

ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
# Index of torch builds to look into beside the default one; its local versions (2.13.0+cpu) win over plain ones.
ARG TORCH_INDEX_URL=""
# The exact build, when it must not be left to the index, for example torch==2.13.0+cpu.
ARG TORCH_REQUIREMENT="torch>=2.13,<2.14"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/rootstock
ENV PATH=/opt/rootstock/bin:$PATH
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} "$TORCH_REQUIREMENT" "numpy>=2.1"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY worker worker
COPY migrations migrations
RUN pip install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} "$TORCH_REQUIREMENT" .

FROM python:${PYTHON_VERSION}-slim
RUN useradd --uid 10001 --create-home --home-dir /var/lib/rootstock --shell /usr/sbin/nologin rootstock
COPY --from=build /opt/rootstock /opt/rootstock
ENV PATH=/opt/rootstock/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    ROOTSTOCK_HOME=/var/lib/rootstock \
    ROOTSTOCK_HOST=0.0.0.0 \
    ROOTSTOCK_PORT=8080
USER rootstock
WORKDIR /var/lib/rootstock
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=4)"]
ENTRYPOINT ["rootstock"]
CMD ["api"]
