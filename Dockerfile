# raymia on Ray's own image, which clusters/kuberay.yaml runs:
#
#     docker build -t registry.example/raymia:0.1.0-ray2.60.0 .
#
# Without a GPU: --build-arg BASE=rayproject/ray:2.60.0-py311 (head and driver need none). It holds no
# data and no results: mount them.
ARG BASE=rayproject/ray:2.60.0-py311-gpu

FROM ${BASE} AS wheel
WORKDIR /home/ray/source
COPY --chown=ray:users . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /home/ray/wheel .

FROM ${BASE}
COPY --chown=ray:users constraints.txt /home/ray/constraints.txt
COPY --from=wheel --chown=ray:users /home/ray/wheel/ /home/ray/wheel/
# torch with CUDA comes by torch's own wheels; the rest in the versions that were tested
RUN pip install --no-cache-dir --constraint /home/ray/constraints.txt "ray[default,tune]==2.60.0" /home/ray/wheel/raymia-*.whl \
    && rm -r /home/ray/wheel
ENV OMP_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0
WORKDIR /home/ray
CMD ["raymia", "--help"]
