# One image for every service and for the kafra command; what runs is an argument: `kafra serve registry`.
# Base images by tag: put the digest your registry shows behind it (python:3.11-slim@sha256:...) for builds that repeat exactly.

FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY libs ./libs
COPY services ./services
COPY conf ./conf
# Wheels first, with the tested versions; then a virtual environment from those wheels alone.
RUN pip wheel --no-cache-dir --wheel-dir /wheels -c constraints.txt . \
 && python -m venv /opt/kafra \
 && /opt/kafra/bin/pip install --no-cache-dir --no-index --find-links /wheels kafra

FROM python:3.11-slim
LABEL org.opencontainers.image.title="kafra" \
      org.opencontainers.image.description="Players' machines host the maps of an rAthena server; the operator's VPS stands ready behind them." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/kafra/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    KAFRA_CONFIG=/etc/kafra/p2p_map_config.conf
COPY --from=build /opt/kafra /opt/kafra
COPY conf/p2p_map_config.conf /etc/kafra/p2p_map_config.conf
# A number, not a name: Kubernetes can tell from it that it is not root.
USER 10001:10001
WORKDIR /tmp
# No HEALTHCHECK: the probes in deploy/k8s ask /healthz and /readyz.
ENTRYPOINT ["kafra"]
CMD ["--help"]
