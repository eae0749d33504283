# From a clone to a small image: one binary, its default configuration, no root.
#
#   docker build -t portreeve .
#   docker run --rm -p 8080:8080 -v "$PWD/gateway.yaml:/etc/portreeve/gateway.yaml:ro" portreeve

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rust-toolchain.toml Makefile ./
COPY scripts scripts
COPY crates crates
COPY plugins plugins
COPY examples examples
COPY tests tests
RUN make release

FROM debian:12-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/portreeve /usr/local/bin/portreeve
COPY gateway.yaml /etc/portreeve/gateway.yaml
WORKDIR /etc/portreeve
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 8080
# SIGTERM, which `docker stop` sends, drains: 5 s of grace and 30 s at most. Give it the time: `docker stop -t 40`.
ENTRYPOINT ["portreeve"]
CMD ["run", "-c", "/etc/portreeve/gateway.yaml"]
