# Rollcall's image: the program, ONNX Runtime, the model packs and the
# shared libraries that these need; nothing else, so no shell. For amd64 and arm64.
#
#   docker build -t rollcall .
#   docker run --read-only -p 10000:10000 -v rollcall:/data rollcall
#
# What is fetched is pinned by hash: the bases here, ONNX Runtime in
# scripts/onnxruntime.txt, packages in Cargo.lock and tools/pages/package-lock.json.
# Each RUN is a script that the tests run without Docker (tests/deployment).
# docs/DEPLOYMENT.md says more.
ARG RUST_IMAGE=rust:1.92-slim-bookworm@sha256:f1f73538ebe623fd3673a35aff3df358ae1084c64c55646516e5b17b321b6c9b
ARG NODE_IMAGE=node:24.18.0-bookworm-slim@sha256:6f7b03f7c2c8e2e784dcf9295400527b9b1270fd37b7e9a7285cf83b6951452d
ARG PYTHON_IMAGE=python:3.12.14-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

FROM ${PYTHON_IMAGE} AS onnxruntime
WORKDIR /build
COPY scripts/onnxruntime.txt scripts/setup-onnxruntime scripts/
RUN ["scripts/setup-onnxruntime"]

FROM ${NODE_IMAGE} AS pages
WORKDIR /build
COPY tools/pages/package.json tools/pages/package-lock.json tools/pages/
COPY scripts/lib.sh scripts/setup-pages scripts/
RUN ["scripts/setup-pages"]

FROM ${RUST_IMAGE} AS build
WORKDIR /build
COPY . .
COPY --from=pages /build/static/vendor static/vendor
RUN ["scripts/image/compile"]
COPY --from=onnxruntime /build/.tools/onnxruntime .tools/onnxruntime
RUN ["scripts/image/layout", "target/release/rollcall", "/image"]

FROM scratch
COPY --from=build --chown=0:0 /image/root /
COPY --from=build --chown=10001:10001 /image/data /data
ENV HOST=0.0.0.0 \
    PORT=10000 \
    DATA_DIR=/data \
    MODELS_DIR=/usr/share/rollcall/models \
    ORT_DYLIB_PATH=/usr/lib/rollcall/libonnxruntime.so
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 10000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["/usr/bin/rollcall", "health"]
ENTRYPOINT ["/usr/bin/rollcall"]
CMD ["serve"]
