# syntax=docker/dockerfile:1
#
# docker build -t eddyline .
# docker run -p 8080:8080 -v eddyline:/data -e EDDYLINE_SECRET eddyline
#
# The server listens on all addresses of the container, so it requires a secret of at least 32 bytes. Without one it
# prints an error and exits. See docs/operations.md.

# Builder and runtime use one release of Debian: with a newer C library in the builder, the program would not start.
FROM rust:1.95-slim-bookworm AS builder
WORKDIR /build
COPY . .
# Downloads and compiled dependencies stay in the builder's cache, which is not part of any image. Files are touched,
# since cargo compares modification times and the cache may be newer than a checkout.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --profile dist --locked --package eddyline --package eddyline-offline --bins \
    && install -D -m 0755 target/dist/eddyline-offline /out/eddyline-offline \
    && install -D -m 0755 target/dist/eddyline /out/eddyline \
    && install -d -m 0750 /out/data

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin eddyline
COPY --from=builder /out/eddyline /out/eddyline-offline /usr/local/bin/
# A volume takes over owner and mode of the existing directory.
COPY --from=builder --chown=eddyline:eddyline /out/data /data
USER eddyline
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["eddyline", "health", "--url", "http://127.0.0.1:8080"]
ENTRYPOINT ["eddyline"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--store", "file:/data"]
