FROM python:3.13-slim AS build
ENV APP=/opt/keyturn \
    TOOLS=/opt/tools \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all:
WORKDIR /src
# Dependencies before our own code, so that a change of ours leaves their layer as it is.
COPY requirements.txt requirements-build.txt ./
RUN python -m venv $APP && $APP/bin/python -m pip install --require-hashes --no-deps -r requirements.txt
RUN python -m venv $TOOLS && $TOOLS/bin/python -m pip install --require-hashes --no-deps -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN $TOOLS/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir $TOOLS/wheels . \
    && $APP/bin/python -m pip install --no-deps $TOOLS/wheels/keyturn-*.whl \
    && $APP/bin/python -m pip check \
    && $APP/bin/python -m pip uninstall --yes pip

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Keyturn" \
      org.opencontainers.image.description="A Kubernetes operator that owns the whole life of a secret" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# The root file system is read-only, and the code was compiled when it was installed.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/keyturn /opt/keyturn
# By number, or Kubernetes cannot tell that it is not root.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/opt/keyturn/bin/keyturn"]
CMD ["--help"]
