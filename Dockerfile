# Both bases are Debian 13 and have the same interpreter at the same place: an environment that is made on the one runs
# on the other. docs/image.md says how to name them by digest, and how they are made without a registry.
ARG BUILD_BASE=docker.io/library/debian:trixie-slim
ARG RUN_BASE=gcr.io/distroless/python3-debian13

FROM ${BUILD_BASE} AS dependencies
ENV PYTHON=/usr/bin/python3.13 \
    APP=/opt/keyturn \
    OWN=/opt/own \
    LIBRARY=/opt/library \
    TOOLS=/opt/tools \
    PYTHONHASHSEED=0 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_PROGRESS_BAR=off
ARG PIP_INDEX_URL
WORKDIR /src
RUN $PYTHON -c "import ensurepip, venv" 2>/dev/null \
    || (apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-venv)
COPY requirements-build.txt ./
RUN $PYTHON -m venv $TOOLS && $TOOLS/bin/python -m pip install --no-compile --require-hashes --no-deps -r requirements-build.txt
# Dependencies before our own code, so that a change of ours leaves their layer as it is, here and in the image.
COPY requirements-operator.txt release/slim.py ./
RUN $PYTHON -m venv --without-pip $APP \
    && $TOOLS/bin/python -m pip --python $APP/bin/python install --no-compile --require-hashes --no-deps -r requirements-operator.txt \
    && $PYTHON slim.py $APP $LIBRARY \
    && $APP/bin/python -m compileall -q --invalidation-mode unchecked-hash $APP/lib

FROM dependencies AS build
# What `keyturn version` says of its origin; the sources that are sent have no git.
ARG KEYTURN_COMMIT
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN $TOOLS/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir $TOOLS/wheels . \
    && $TOOLS/bin/python -m pip --python $APP/bin/python install --no-compile --no-deps --root $OWN \
       $TOOLS/wheels/keyturn-*.whl \
    && $APP/bin/python -m compileall -q --invalidation-mode unchecked-hash -s $OWN $OWN \
    && PYTHONPATH=$OWN$($APP/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))") \
       $TOOLS/bin/python -m pip --python $APP/bin/python check

FROM ${RUN_BASE}
LABEL org.opencontainers.image.title="Keyturn" \
      org.opencontainers.image.description="A Kubernetes operator that owns the whole life of a secret" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# The root file system is read-only, and the code was compiled when it was installed.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# By number, or Kubernetes cannot tell that it is not root.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/opt/keyturn/bin/keyturn"]
CMD ["--help"]
COPY --from=dependencies /opt/library /
COPY --from=dependencies /opt/keyturn /opt/keyturn
COPY --from=build /opt/own /
