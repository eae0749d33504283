"""slowhttptest: 300 clients that trickle, in each of its four ways, while another client must be served at once."""
import concurrent.futures
import csv
import re
import socket
import threading
import time

import h2.exceptions

from checks import Tool, check, expect
from checks_python_h2 import H2, Client

SLOW = Tool("slowhttptest", "slowhttptest", version_arguments=("-h",))
LIMITS = "head: 3s, idle: 5s, min_body_rate: 1KiB, stall: 3s, handshake: 3s"
CONNECTIONS = 300


def open_to(port):
    """How many connections to this port the system of the clients has open: established, not yet closed or reset."""
    count = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in list(lines)[1:]:
                fields = line.split()
                count += fields[3] == "01" and int(fields[2].rsplit(":", 1)[1], 16) == port
    return count


class Probe(threading.Thread):
    """Asks every 0.2 s on a connection of its own, for what the gateway answers itself, and remembers the longest wait.

    It also watches how many connections the gateway has, and when it last had more than its own."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.port, self.longest, self.count, self.failed, self.over = gateway, gateway.clear, 0.0, 0, [], threading.Event()
        self.begun, self.most, self.last_held, self.last_open = time.monotonic(), 0, 0.0, 0.0

    def run(self):
        while not self.over.wait(0.2):
            begun = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                    connection.sendall(b"GET /probe HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    answer = b""
                    while piece := connection.recv(4096):
                        answer += piece
                if not answer.startswith(b"HTTP/1.1 200"):
                    self.failed.append(answer[:100])
            except OSError as error:
                self.failed.append(repr(error))
            self.longest, self.count = max(self.longest, time.monotonic() - begun), self.count + 1
            held = int(self.gateway.metric("portreeve_connections"))
            self.most = max(self.most, held)
            if held > 3:
                self.last_held = time.monotonic() - self.begun
            if open_to(self.port) > 3:
                self.last_open = time.monotonic() - self.begun


def attack(world, *arguments, path="/hello", all_ended_by, seconds=40, lingers=False):
    """`all_ended_by`: so many seconds after the first connection none may be left, neither of the gateway's nor of the attacker's.

    `lingers`: the attacker looks away from what has happened to its connections, so its system is asked and not its report."""
    gateway = world.spawn(LIMITS)
    probe = Probe(gateway)
    probe.start()
    report = f"{world.folder}/slow{arguments[0]}"
    begun = time.monotonic()
    ended = SLOW.run(*arguments, "-c", CONNECTIONS, "-r", "150", "-l", seconds, "-p", "2", "-g", "-o", report, "-u", f"http://localhost:{gateway.clear}{path}",
                     timeout=seconds + 60)
    took = time.monotonic() - begun
    probe.over.set()
    probe.join(15)
    gateway.kill()
    with open(report + ".csv") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    columns = {name.strip().lower(): name for name in rows[0]}
    last = max((int(row[columns["seconds"]]) for row in rows if int(row[columns["connected"]]) > 0), default=0)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout)
    status = " ".join(re.findall(r"Exit status:\s*(.*)", plain))
    note = (f"the gateway held at most {probe.most} and was rid of them after {probe.last_held:.1f} s; its system had none after {probe.last_open:.1f} s; the attacker saw the last end after {last} s of {took:.0f} "
            f"({status}); probe asked {probe.count} times, longest {probe.longest * 1000:.0f} ms")
    expect(not probe.failed, "the probe was not served:", probe.failed[:3], note)
    expect(probe.longest < 1.0, note)
    expect(probe.last_held <= all_ended_by, "held too long:", note)
    expect(probe.last_open <= all_ended_by + 1, "ended for the gateway, not for the attacker's system:", note)
    expect(lingers or last <= all_ended_by + 1, "ended for the gateway, not for the attacker:", note)
    return note


@check(SLOW, "slow heads (slowloris) are ended in time while others are served", slow=True)
def heads(world):
    return attack(world, "-H", "-i", "2", "-x", "24", all_ended_by=9)


@check(SLOW, "slow bodies are ended in time while others are served", slow=True)
def bodies(world):
    return attack(world, "-B", "-i", "2", "-x", "24", "-s", "65536", "-t", "POST", path="/large/digest", all_ended_by=18)


@check(SLOW, "slow readers are ended in time while others are served", slow=True)
def readers(world):
    # It goes on to read what its system had received before the reset, 32 bytes in 5 s, and calls that connected.
    return attack(world, "-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3", path="/bytes/20000000", all_ended_by=15, lingers=True)


@check(SLOW, "ranges without end are answered or refused at once", slow=True)
def ranges(world):
    return attack(world, "-R", "-a", "10", "-b", "3000", path="/bytes/100000", all_ended_by=12)


# slowhttptest speaks HTTP/1.1 alone; these do the same over HTTP/2. Each takes the client and its next 250 ms.
def takes_nothing(client):
    if not client.answers:
        client.ask("/bytes/20000000")


def trickles_a_body(client):
    stream = next(iter(client.answers), None) or client.ask("/large/digest", "POST", body=True)
    client.state.send_data(stream, b"x")
    client.flush()


def trickles_a_head(client):
    if not hasattr(client, "left"):
        client.ask("/hello", fields=[("x-long", "y" * 3000)], held_back=True)
        client.left = client.state.data_to_send()
    client.socket.sendall(client.left[:1])
    client.left = client.left[1:]


def only_pings(client):
    client.state.ping(b"12345678")
    client.flush()


def idles(client):
    del client


SLOW_OVER_H2 = {takes_nothing: "stall", trickles_a_body: "min_body_rate", trickles_a_head: "head", only_pings: "idle", idles: "idle"}


def seconds_until_ended(world, gateway, behave, limit):
    """How long a client that behaves so holds its stream or its connection; `None` if longer than `limit`."""
    client = Client(world, gateway)
    client.acknowledges = False
    client.socket.settimeout(0.25)
    begun = time.monotonic()
    while (took := time.monotonic() - begun) < limit:
        try:
            behave(client)
            client.read()
        except TimeoutError:
            continue
        except (OSError, h2.exceptions.ProtocolError):
            return took
        if client.closed or client.goaway or any(answer["reset"] is not None or answer["ended"] for answer in client.answers.values()):
            return took
    return None


@check(H2, "over HTTP/2 too, clients that take nothing, trickle or idle are ended in time", slow=True)
def over_h2(world):
    gateway = world.spawn(LIMITS)
    with concurrent.futures.ThreadPoolExecutor(len(SLOW_OVER_H2)) as pool:
        waits = {behave: pool.submit(seconds_until_ended, world, gateway, behave, 30) for behave in SLOW_OVER_H2}
    found = {behave: wait.result() for behave, wait in waits.items()}
    gateway.kill()
    notes = [f"{behave.__name__} (`{SLOW_OVER_H2[behave]}`): " + ("not within 30 s" if took is None else f"after {took:.1f} s") for behave, took in found.items()]
    expect(all(took is not None and took < 20 for took in found.values()), f"with {LIMITS}:\n" + "\n".join(notes))
    return "\n".join(notes)
