# docker build -t vdiff . && docker run --rm -v "$PWD/results:/work/results" vdiff run --preset demo --cores 2
FROM python:3.11-slim
WORKDIR /opt/vdiff
COPY requirements.lock ./
RUN pip install --no-cache-dir --requirement requirements.lock
COPY setup.py pyproject.toml MANIFEST.in README.md LICENSE Snakefile environment.yml ./
COPY vdiff ./vdiff
COPY workflow ./workflow
COPY notebooks ./notebooks
COPY results/reference/pretrained ./results/reference/pretrained
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home --uid 1000 vdiff && mkdir /work && chmod 1777 /work
# Clusters choose a user that no file knows; Snakemake asks for its name.
ENV USER=vdiff
USER 1000
WORKDIR /work
ENTRYPOINT ["vdiff"]
CMD ["--help"]
