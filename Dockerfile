# The default image runs `ai-manufacturing refresh`. The image `development`, which .devcontainer opens in a volume,
# has also built the sample and passed the tests.
FROM python:3.11-slim AS base
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home warehouse && install --directory --owner=warehouse /ai-manufacturing /extracts /releases /landing
USER warehouse
WORKDIR /ai-manufacturing
ENV PATH=/ai-manufacturing/.venv/bin:$PATH
# Packages are installed before the code is copied, so that an edit does not install them again.
COPY --chown=warehouse requirements/site.txt requirements/site.txt
RUN python -m venv .venv && pip install --no-cache-dir --require-hashes -r requirements/site.txt
COPY --chown=warehouse . .
RUN make .venv/.site

FROM base AS development
RUN make build
RUN make test
CMD ["bash"]

FROM base
ENV EXTRACTS_DIR=/extracts RELEASE_DIR=/releases LANDING_DIR=/landing
VOLUME ["/extracts", "/releases", "/landing"]
ENTRYPOINT ["ai-manufacturing"]
CMD ["refresh"]
