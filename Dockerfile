# docker build -t lstmcast .                          everything, with the CPU build of torch
# docker build -t lstmcast:predict --target predict . prediction with a trained model, without torch
# docker run --rm -v "$PWD:/data" lstmcast forecast sales.csv
#
# docs/install.md says more. `python proof/container.py` takes these steps without a container engine.

FROM python:3.11-slim AS source
COPY . /src
RUN python -m venv /opt/lstmcast

FROM source AS full
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN /opt/lstmcast/bin/pip install --no-cache-dir --index-url ${TORCH_INDEX} "torch>=2.11,<2.14"
RUN /opt/lstmcast/bin/pip install --no-cache-dir /src

FROM source AS light
RUN /opt/lstmcast/bin/pip install --no-cache-dir --no-deps /src
RUN /opt/lstmcast/bin/pip install --no-cache-dir -r /src/requirements-predict.txt

FROM python:3.11-slim AS user
RUN useradd --uid 10001 --create-home lstmcast && mkdir /data && chown lstmcast /data
ENV PATH=/opt/lstmcast/bin:$PATH HOME=/home/lstmcast MPLCONFIGDIR=/tmp/matplotlib
# The job that is watched, where the container has one: unhealthy when its last success is too old.
ENV JOB_CONFIG=/data/batch.yaml JOB_MAX_AGE=26h
USER 10001
WORKDIR /data
HEALTHCHECK --interval=5m --timeout=60s --start-period=2m \
  CMD test ! -e "$JOB_CONFIG" || lstmcast status "$JOB_CONFIG" --max-age "$JOB_MAX_AGE" || exit 1
ENTRYPOINT ["lstmcast"]
CMD ["--help"]

FROM user AS predict
COPY --from=light /opt/lstmcast /opt/lstmcast

FROM user
COPY --from=full /opt/lstmcast /opt/lstmcast
