# One image for hubs and producers: `serve` by default, any other `tapecast` command as arguments.

FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/tapecast
# The dependencies first: this layer changes with the lock alone.
COPY requirements/ requirements/
RUN /opt/tapecast/bin/pip install --require-hashes --no-deps -r requirements/runtime.txt \
    && pip install --require-hashes --no-deps -r requirements/build.txt
# The dashboard next, with Node from PyPI: no part of the image needs that once it is built.
COPY dashboard/ dashboard/
RUN TAPECAST_DASHBOARD=require python -m dashboard.shipping
COPY LICENSE README.md pyproject.toml ./
COPY hub/ hub/
COPY producers/ producers/
RUN TAPECAST_DASHBOARD=require pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/tapecast/bin/pip install --no-deps dist/*.whl

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tapecast
COPY --from=build /opt/tapecast /opt/tapecast
ENV PATH=/opt/tapecast/bin:$PATH PYTHONUNBUFFERED=1
USER tapecast
EXPOSE 8000
# For a hub; producers have no port and switch it off.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["tapecast"]
CMD ["serve", "--host", "0.0.0.0"]
