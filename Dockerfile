# syntax=docker/dockerfile:1
# The gateway as an image. uv builds it from the lock file and stays behind.
#
#   docker build --tag smallfirst .
#   docker run --rm --read-only --publish 127.0.0.1:8080:8080 --env-file .env \
#     --volume "$PWD/gateway.yaml:/etc/smallfirst/gateway.yaml:ro" --volume smallfirst:/var/lib/smallfirst smallfirst
#
# In a container `server.host` must be 0.0.0.0, so the config needs `keys`. Everything together: deploy/compose.yaml.

# The Python on which CI runs the tests.
ARG PYTHON=3.11-slim-bookworm

FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM python:${PYTHON} AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON=/usr/local/bin/python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
# Only `train`, `evaluate` and `calibrate` need these. `--build-arg WITHOUT=` leaves nothing out.
ARG WITHOUT="scikit-learn scipy joblib cloudpickle threadpoolctl narwhals datasketch matplotlib contourpy cycler \
    fonttools kiwisolver pillow pyparsing python-dateutil tzdata"
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock \
    uv sync --locked --no-dev --no-install-project $(for name in $WITHOUT; do echo "--no-install-package $name"; done)
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY config config
COPY app app
COPY router_models router_models
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --no-editable $(for name in $WITHOUT; do echo "--no-install-package $name"; done)

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="smallfirst" \
      org.opencontainers.image.description="A routing gateway that answers with the small model first" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The one place it writes to, if the config has `records`; a new volume here takes over the owner.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/smallfirst
VOLUME /var/lib/smallfirst
WORKDIR /var/lib/smallfirst
USER 10001:10001
EXPOSE 8080
# Of the process only: a backend that is down does not make the gateway sick. No proxy from the environment.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ.get('SMALLFIRST_SERVER__PORT', '8080') + '/health', timeout=2)"]
CMD ["smallfirst", "serve", "--config", "/etc/smallfirst/gateway.yaml"]
