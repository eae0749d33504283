"""What the checks share: certificates, the services behind, and gateways in front of them, each on ports of its own."""
import base64
import contextlib
import functools
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
JWT_SECRET = "0123456789abcdef0123456789abcdef"
API_KEY = "the-key-of-ada"

CONFIG = """version: 1
listeners:
  - {{ name: clear, bind: "127.0.0.1:0"{limits} }}
  - name: tls
    bind: "127.0.0.1:0"
    tls:
      certificates: [{{ cert: {folder}/ecdsa.crt, key: {folder}/ecdsa.key }}, {{ cert: {folder}/rsa.crt, key: {folder}/rsa.key }}]
      client_auth: {{ ca: {folder}/clients.crt, mode: request }}
      hsts: {{}}
  - name: modern
    bind: "127.0.0.1:0"
    tls: {{ certificates: [{{ cert: {folder}/ecdsa.crt, key: {folder}/ecdsa.key }}], min_version: "1.3" }}
  - name: mutual
    bind: "127.0.0.1:0"
    tls:
      certificates: [{{ cert: {folder}/ecdsa.crt, key: {folder}/ecdsa.key }}]
      client_auth: {{ ca: {folder}/clients.crt, mode: require }}
admin: {{ bind: "127.0.0.1:0" }}
access_log: {{ to: "file:{folder}/access-{number}.log" }}
consumers: [{{ name: ada, keys: ["env:CONFORMANCE_KEY"] }}]
upstreams:
  http: {{ targets: ["127.0.0.1:{http}"] }}
  rpc: {{ targets: ["127.0.0.1:{grpc}"], protocol: http2 }}
  websocket: {{ targets: ["127.0.0.1:{websocket}"] }}
  dead: {{ targets: ["127.0.0.1:{dead}"] }}
  dead-rpc: {{ targets: ["127.0.0.1:{dead}"], protocol: http2 }}
routes:
  - {{ name: rest, match: {{ path: "/**" }}, public: true, upstream: http }}
  - {{ name: probe, match: {{ path: /probe }}, public: true, respond: {{ body: here }} }}
  - {{ name: large, match: {{ path: ["/large/{{what}}"] }}, public: true, upstream: http, limits: {{ body: 64MiB }}, plugins: [{{ rewrite: {{ strip_prefix: /large }} }}] }}
  - {{ name: events, match: {{ path: /events }}, public: true, upstream: http, timeout: 1s, timeouts: {{ idle: 10s }} }}
  - {{ name: late, match: {{ path: /late }}, public: true, upstream: http, timeout: 300ms }}
  - {{ name: websocket, match: {{ path: "/ws/**" }}, public: true, upstream: websocket, timeouts: {{ idle: 1m }} }}
  - {{ name: gone, match: {{ path: "/gone" }}, public: true, upstream: dead }}
  - {{ name: token, match: {{ path: /token }}, upstream: http, plugins: [{{ jwt: {{ algorithms: [HS256], keys: [{{ secret: "env:CONFORMANCE_SECRET" }}] }} }}] }}
  - {{ name: rarely, match: {{ path: /rarely }}, public: true, upstream: http, plugins: [{{ rate-limit: {{ by: all, limit: {{ rate: 1/h }} }} }}] }}
  - name: rpc
    match: {{ path: ["/conformance.Echo/**", "/grpc.health.v1.Health/**", "/grpc.reflection.v1alpha.ServerReflection/**", "/grpc.reflection.v1.ServerReflection/**"] }}
    public: true
    upstream: rpc
    limits: {{ body: 64MiB }}
    timeout: 3s
    timeouts: {{ idle: 10s }}
  - {{ name: rpc-gone, match: {{ path: "/conformance.Echo/**", host: gone.test }}, public: true, upstream: dead-rpc }}
  - {{ name: rpc-late, match: {{ path: "/conformance.Echo/**", host: late.test }}, public: true, upstream: rpc, timeout: 300ms }}
  - {{ name: rpc-key, match: {{ path: "/conformance.Echo/**", host: key.test }}, upstream: rpc, plugins: [key-auth] }}
  - {{ name: rpc-token, match: {{ path: "/conformance.Echo/**", host: token.test }}, upstream: rpc, plugins: [{{ jwt: {{ algorithms: [HS256], keys: [{{ secret: "env:CONFORMANCE_SECRET" }}] }} }}] }}
  - {{ name: rpc-rarely, match: {{ path: "/conformance.Echo/**", host: rarely.test }}, public: true, upstream: rpc, plugins: [{{ rate-limit: {{ by: all, limit: {{ rate: 1/h }} }} }}] }}
  - {{ name: rpc-nothing, match: {{ path: "/conformance.Echo/**", host: nothing.test }}, public: true, respond: {{ status: 404 }} }}
  - {{ name: rpc-small, match: {{ path: "/conformance.Echo/**", host: small.test }}, public: true, upstream: rpc }}
"""


class World:
    """Started lazily: a run of one check pays for what it uses only."""

    def __init__(self, binary, folder, running):
        self.binary, self.folder, self._running, self._gateways = binary, folder, running, 0

    @functools.cached_property
    def certificates(self):
        """The folder with `ca.crt`, `ecdsa.{crt,key}`, `rsa.{crt,key}`, `clients.crt`, `client.{crt,key}`, `stranger.{crt,key}`."""
        make_certificates(self.folder)
        return self.folder

    @functools.cached_property
    def http(self):
        return self.origin("http").port

    @functools.cached_property
    def grpc(self):
        return self.origin("grpc").port

    @functools.cached_property
    def websocket(self):
        return self.origin("websocket").port

    @functools.cached_property
    def gateway(self):
        """The gateway that most checks share. It is never stopped or reloaded by one of them."""
        return self.spawn()

    def origin(self, kind):
        return self._running.enter_context(Origin(kind, self.folder))

    def spawn(self, limits="", **targets):
        """A gateway of one's own: `limits` of its listener in clear, other targets by name (`grpc=port`)."""
        dead = socket.socket()  # Bound and never listening: whoever connects is refused, and nobody else gets the port.
        dead.bind(("127.0.0.1", 0))
        self._running.callback(dead.close)
        targets = {"http": self.http, "grpc": self.grpc, "websocket": self.websocket, "dead": dead.getsockname()[1], **targets}
        self._gateways += 1
        number, limits = self._gateways, f", limits: {{ {limits} }}" if limits else ""
        text = CONFIG.format(folder=self.certificates, limits=limits, number=number, **targets)
        return self._running.enter_context(Gateway(self.binary, self.folder, number, text, targets))


class Process(contextlib.AbstractContextManager):
    def __init__(self, command, log, **more):
        self._log = open(log, "ab")
        self.process = subprocess.Popen(command, stderr=self._log, stdin=subprocess.DEVNULL, **more)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()
        self._log.close()


class Origin(Process):
    def __init__(self, kind, folder, port=0):
        super().__init__([sys.executable, "-B", os.path.join(HERE, "origins.py"), kind, str(port)], f"{folder}/{kind}.log",
                         stdout=subprocess.PIPE, text=True)
        announced = self.process.stdout.readline().strip()
        if not announced:
            raise RuntimeError(f"the {kind} origin did not start: see {folder}/{kind}.log")
        self.port = int(announced)


class Gateway(Process):
    """A gateway that serves. `clear`, `tls`, `modern` (TLS 1.3 only), `mutual` and `admin` are ports."""

    def __init__(self, binary, folder, number, text, targets):
        self.folder, self.targets = folder, targets
        self.file, self.log = f"{folder}/gateway-{number}.yaml", f"{folder}/gateway-{number}.log"
        with open(self.file, "w") as file:
            file.write(text)
        with open(self.log, "w"):
            pass
        environment = {**os.environ, "CONFORMANCE_KEY": API_KEY, "CONFORMANCE_SECRET": JWT_SECRET}
        super().__init__([binary, "run", "-c", self.file, "--no-watch", "--grace", "1s", "--drain", "10s"], self.log, env=environment)
        deadline = time.monotonic() + 30
        while len(ports := self.announced()) < 5:
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log) as log:
                    raise RuntimeError(f"the gateway did not start:\n{log.read()[-3000:]}")
            time.sleep(0.05)
        self.clear, self.tls, self.modern, self.mutual, self.admin = (ports[name] for name in ("clear", "tls", "modern", "mutual", "admin"))

    def announced(self):
        """The ports that its log tells, by the names of listeners; `admin` last."""
        ports = {}
        with open(self.log) as log:
            for line in log:
                if line.endswith("}\n") and "address" in (event := json.loads(line)):
                    ports[event.get("listener", "admin")] = int(event["address"].rsplit(":", 1)[1])
        return ports

    def ask_admin(self, path, method="GET"):
        with socket.create_connection(("127.0.0.1", self.admin), 5) as connection:
            connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer

    def metric(self, name):
        """The sum over all labels."""
        lines = self.ask_admin("/metrics").decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + "{", name + " ")))

    def reload(self):
        """SIGHUP, and waits until the new generation serves."""
        before = self.metric("portreeve_config_generation")
        self.signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while self.metric("portreeve_config_generation") == before:
            if time.monotonic() > deadline:
                raise AssertionError("SIGHUP made no new generation within 20 s")
            time.sleep(0.05)

    def drain(self):
        """SIGTERM, without waiting."""
        self.signal(signal.SIGTERM)

    def url(self, path, scheme="http"):
        return f"{scheme}://localhost:{self.tls if scheme == 'https' else self.clear}{path}"


def token(**claims):
    """A JSON Web Token that the routes with `jwt` take."""
    encoded = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
    claims = {"sub": "ada", "exp": int(time.time()) + 600, **claims}
    signed = encoded(b'{"alg":"HS256","typ":"JWT"}') + b"." + encoded(json.dumps(claims).encode())
    return (signed + b"." + encoded(hmac.digest(JWT_SECRET.encode(), signed, hashlib.sha256))).decode()


def make_certificates(folder):
    """Servers' certificates from one authority, clients' from another, and a stranger's from itself."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    rsa = ["-newkey", "rsa:2048", "-nodes"]
    for name in ("ca", "clients", "stranger"):
        openssl("req", "-x509", "-sha256", *ec, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "90", "-subj", f"/O=Portreeve tests/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
    server = ("subjectAltName=DNS:localhost,DNS:gateway.test,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n"
              "basicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
              # Nobody asks there; scanners complain of certificates that cannot be revoked.
              "crlDistributionPoints=URI:http://localhost/ca.crl\n")
    client = "subjectAltName=DNS:billing.test\nextendedKeyUsage=clientAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE\n"
    for name, kind, issuer, extensions in (("ecdsa", ec, "ca", server), ("rsa", rsa, "ca", server), ("client", ec, "clients", client)):
        with open(f"{folder}/{name}.ext", "w") as file:
            file.write(extensions)
        openssl("req", "-sha256", *kind, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={'localhost' if name != 'client' else 'billing.test'}")
        openssl("x509", "-req", "-sha256", "-in", f"{name}.csr", "-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key", "-CAcreateserial",
                "-days", "90", "-extfile", f"{name}.ext", "-out", f"{name}.crt")
