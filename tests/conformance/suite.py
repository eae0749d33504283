"""The checks in order, each against the world they share; a table at the end, and exit status 1 if one failed."""
import argparse
import contextlib
import importlib
import os
import re
import subprocess
import sys
import tempfile
import time

from checks import Unavailable, registered
from world import World

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# In the order they are run and told: what a defect in would make the rest doubtful comes first.
MODULES = ["curl", "nghttp2", "python_h2", "grpc_clients", "websocket_clients", "tls_scanners", "slow_clients", "discretion"]
# Those whose clients `scripts/setup test` installs.
PART = ["curl", "nghttp2", "python_h2", "grpc_clients", "websocket_clients", "discretion"]


def main():
    built = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    ap = argparse.ArgumentParser(prog="tests/conformance/run", description="Portreeve before clients and scanners that nobody here wrote.")
    ap.add_argument("binary", nargs="?", default=os.path.join(built, "debug/portreeve"), help="of the gateway; %(default)s")
    ap.add_argument("-k", "--only", metavar="REGEX", default="", help="only checks whose `module: title` matches")
    ap.add_argument("-q", "--quick", action="store_true", help="without what takes minutes: testssl.sh, slowhttptest")
    ap.add_argument("--part", action="store_true", help="what takes seconds, with the clients that the tests install: runs with all tests")
    ap.add_argument("-l", "--list", action="store_true", help="lists the checks and stops")
    ap.add_argument("--keep", metavar="FOLDER", help="keeps logs and reports of the tools there")
    args = ap.parse_args()
    for module in PART if args.part else MODULES:
        importlib.import_module("checks_" + module)
    chosen = [check for check in registered() if re.search(args.only, f"{check.module}: {check.title}") and not (check.slow and (args.quick or args.part))]
    if args.part:
        chosen = [check for check in chosen if check.part]
    if args.list:
        print("\n".join(f"{check.module}: {check.title}" for check in chosen))
        return 0
    if not os.access(args.binary, os.X_OK):
        ap.error(f"{args.binary} is not there; build it with `cargo build -p portreeve`, or name another")
    with contextlib.ExitStack() as running:
        folder = args.keep or running.enter_context(tempfile.TemporaryDirectory(prefix="portreeve-conformance-"))
        os.makedirs(folder, exist_ok=True)
        world = World(os.path.abspath(args.binary), os.path.abspath(folder), running)
        rows = [judge(check, world) for check in chosen]
    return tell(rows, args.part)


def judge(check, world):
    """Runs one check: its row of the table."""
    begun = time.monotonic()
    try:
        note, outcome = check.run(world) or "", "passed"
    except Unavailable as why:
        note, outcome = str(why), "unavailable"
    except subprocess.TimeoutExpired as late:
        note, outcome = f"{' '.join(map(str, late.cmd))[:300]} did not end within {late.timeout:.0f} s", "FAILED"
    except Exception as error:  # Whatever a client library throws is a failed check, and the rest still run.
        note, outcome = f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error), "FAILED"
    seconds = time.monotonic() - begun
    print(f"{outcome:11} {seconds:6.1f} s  {check.module}: {check.title}" + (f"\n{indented(note)}" if note else ""), flush=True)
    return check, outcome, note


def tell(rows, all_there):
    print("\n" + "=" * 100)
    columns = [(check.tool.name, check.tool.version(), check.title, outcome) for check, outcome, _ in rows]
    widths = [max([len(row[i]) for row in columns], default=0) for i in range(3)]
    for tool, version, title, outcome in columns:
        print(f"{tool:{widths[0]}}  {version:{widths[1]}}  {title:{widths[2]}}  {outcome}")
    counts = {word: sum(outcome == word for _, outcome, _ in rows) for word in ("passed", "FAILED", "unavailable")}
    print(", ".join(f"{count} {word.lower()}" for word, count in counts.items()))
    # Where everything is installed beforehand, what cannot be had is a part that was left out unnoticed.
    return 1 if counts["FAILED"] or (all_there and counts["unavailable"]) else 0


def indented(text):
    return "\n".join("    " + line for line in text.strip().splitlines()[:40])


if __name__ == "__main__":
    sys.exit(main())
