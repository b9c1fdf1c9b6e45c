# The project with the README's two commands done. .devcontainer opens a volume that begins as its folder.
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /ai-manufacturing
ENV PATH=/ai-manufacturing/.venv/bin:$PATH
COPY . .
RUN make build
RUN make test
CMD ["bash"]
