# syntax=docker/dockerfile:1
# The image of controller and workers: one binary, certificate roots and glibc; no shell, no root.
#
#   docker build -t s3sync .
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#     --output type=image,name=REGISTRY/s3sync:TAG,push=true,rewrite-timestamp=true .
#
# The same source gives the same bytes: dependencies are locked, paths of the builder are mapped away, times come from SOURCE_DATE_EPOCH.
# A release gives both bases by digest (docs/development.md, Releasing): a tag is another image tomorrow.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# Always on the builder's own platform: the other one is cross-compiled, since emulation takes ten times as long.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG BUILDARCH
ARG TARGETARCH
WORKDIR /src
# Rust's target, and the C compiler for it (zstd, ring and jemalloc have C): the builder's own, or a cross compiler.
RUN set -eux; \
    case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-gnu compiler=x86-64-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu compiler=aarch64-linux-gnu ;; \
      *) echo "there is no build for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    gcc=gcc; \
    if [ "$TARGETARCH" != "$BUILDARCH" ]; then \
      apt-get update; \
      apt-get install -y --no-install-recommends "gcc-$compiler" "libc6-dev-$TARGETARCH-cross"; \
      rm -rf /var/lib/apt/lists/*; \
      rustup target add "$target"; \
      gcc=$(echo "$target" | sed 's/-unknown//')-gcc; \
    fi; \
    upper=$(echo "$target" | tr a-z- A-Z_); \
    printf 'export TARGET=%s CARGO_TARGET_%s_LINKER=%s CC_%s=%s\n' "$target" "$upper" "$gcc" "$(echo "$target" | tr - _)" "$gcc" >/target
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY tests/cluster/suite tests/cluster/suite
ARG SOURCE_DATE_EPOCH=0
RUN set -eux; \
    . /target; \
    export RUSTFLAGS="--remap-path-prefix=$CARGO_HOME=cargo --remap-path-prefix=/src=s3sync"; \
    # Kernels for arm64 have pages of 4, 16 or 64 KiB: an allocator made for the largest runs on all.
    [ "$TARGETARCH" != arm64 ] || export JEMALLOC_SYS_WITH_LG_PAGE=16; \
    cargo build --profile dist --locked --bin s3sync --target "$TARGET"; \
    install -D "target/$TARGET/dist/s3sync" /image/s3sync; \
    ln -s s3sync /image/kubectl-s3sync

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title=s3sync \
      org.opencontainers.image.description="Keeps S3 prefixes in sync as tables, exactly once" \
      org.opencontainers.image.source=https://github.com/s3sync-dev/s3sync \
      org.opencontainers.image.licenses=Apache-2.0
COPY --from=build /image/ /
USER 65532:65532
ENTRYPOINT ["/s3sync"]
