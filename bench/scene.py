"""What the benchmarks share: a broker, topics with the fleet's events, projects, and the binary."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import measure

ROOT = pathlib.Path(__file__).parent.parent
SERVICES = ROOT / "tests" / "services"
PARTITIONS = 4


def say(text):
    print(f"== {text}", flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, seconds, why):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise measure.Failed(f"not in {seconds} s: {why}")
        time.sleep(0.005)


def listening(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Scene:
    """Everything that is started or written here is gone at its end, unless it is to be kept."""

    def __init__(self, args):
        self.args = args
        self.ingot = pathlib.Path(os.environ["INGOT"])
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="ingot-bench."))
        self.log = self.work / "log"
        self.brokers = None
        self.broker_started = False
        self.topics = []
        self.processes = []
        self.made = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in self.processes:
            self.stop(process)
        for topic in self.topics:
            self.drop_topic(topic)
        if self.broker_started:
            subprocess.run([SERVICES / "kafka.sh", "stop"], check=False)
        if self.args.keep or kind:
            say(f"kept: {self.work}")
        else:
            shutil.rmtree(self.work, ignore_errors=True)

    def by_scale(self, smoke, quick, full):
        return {"smoke": smoke, "quick": quick, "full": full}[self.args.scale]

    def runs(self, smoke=1, quick=3, full=3):
        return self.args.runs or self.by_scale(smoke, quick, full)

    def peer(self, name):
        """A peer written in Rust: an example, built with the binary's profile."""
        path = self.ingot.parent / "examples" / name
        if not path.exists():
            raise measure.Failed(f"no {path}: build it with `cargo build --workspace --examples` and the binary's profile")
        return path

    def start_broker(self):
        if self.brokers:
            return
        there = subprocess.run([SERVICES / "kafka.sh", "status"], capture_output=True).returncode == 0
        told = subprocess.run([SERVICES / "kafka.sh", "start"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.brokers = told.strip().split("=", 1)[1]
        self.broker_started = not there

    def broker_cpu(self):
        """CPU-seconds of the broker so far; nothing if it was not started by tests/services."""
        cache = os.environ.get("INGOT_TEST_CACHE", pathlib.Path.home() / ".cache/ingot/services")
        file = pathlib.Path(os.environ.get("INGOT_TEST_RUN", f"{cache}/run")) / "kafka" / "pid"
        if "INGOT_TEST_KAFKA" in os.environ or not file.exists():
            return None
        return measure.cost_of(int(file.read_text().split()[0]))[0]

    def topic(self, name):
        self.start_broker()
        self.made += 1
        topic = f"bench-{name}-{os.getpid()}-{self.made}"
        self.topic_tool("create", topic, "--partitions", str(PARTITIONS))
        self.topics.append(topic)
        return topic

    def drop_topic(self, topic):
        self.topic_tool("delete", topic)

    def topic_tool(self, *args):
        tool = ROOT / "tests" / "clients" / "topics.py"
        subprocess.run([sys.executable, tool, self.brokers, *args], check=True)

    def produce_command(self, topic, events, skip=0, rate=None, options=()):
        command = [self.ingot, "produce", "--quiet", "--json", "--project", ROOT / "sql", "--set",
                   f"kafka.bootstrap.servers={self.brokers}", "--topic", topic, "--events", str(events), "--skip", str(skip)]
        return [*command, *(["--rate", str(rate)] if rate else []), *options]

    def produce(self, topic, events, skip=0, options=()):
        """Events of one and the same fleet, after the first `skip` of them; says how many bytes."""
        command = self.produce_command(topic, events, skip, options=options)
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(told)["bytes"]

    def project(self, topic):
        self.made += 1
        return Project(self, self.work / f"project-{self.made}", topic)

    def start(self, command):
        out = open(self.log, "ab")
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        out.close()
        self.processes.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def spark(self, job, folder, topic):
        """The cost of one of Spark's jobs, and its rows; its tables, catalog and checkpoint are in the folder."""
        env = {"BENCH_FOLDER": str(folder), "BENCH_BROKERS": self.brokers, "BENCH_TOPIC": topic}
        cost = measure.run([SERVICES / "spark.sh", "run", ROOT / "bench" / "spark" / f"{job}.py"], self.log, env)
        return cost, int((folder / "rows").read_text())


class Project:
    """The shipped project on a topic, with a warehouse on local disk."""

    def __init__(self, scene, folder, topic):
        self.scene, self.folder = scene, folder
        self.sql = folder / "sql"
        self.lake = folder / "lake"
        shutil.copytree(ROOT / "sql", self.sql)
        bronze = self.sql / "bronze" / "vehicle_events.sql"
        bronze.write_text(bronze.read_text().replace("'vehicles-events'", f"'{topic}'"))
        self.port = free_port()
        self.options = ["--project", self.sql, "--set", f"kafka.bootstrap.servers={scene.brokers}", "--set",
                        f"warehouse.location={self.lake}", "--set", f"serve.listen=127.0.0.1:{self.port}"]

    @property
    def uri(self):
        return f"grpc://127.0.0.1:{self.port}"

    def command(self, name, *args):
        return [self.scene.ingot, name, *self.options, *args]

    def measured(self, name, *args):
        return measure.run(self.command(name, *args), self.scene.log)

    def run_once(self, *select):
        """The cost of `run --once`, and what its steps say by table."""
        report = self.folder / "report.json"
        chosen = [arg for name in select for arg in ("--select", name)]
        cost = self.measured("run", "--once", "--quiet", "--report", report, *chosen)
        steps = {step["table"]: step for step in json.loads(report.read_text())["steps"]}
        return cost, steps

    def rows(self, table):
        told = subprocess.run(self.command("status", "--json"), check=True, stdout=subprocess.PIPE, text=True).stdout
        return next(t["rows"] for t in json.loads(told)["tables"] if t["table"] == table)

    def forget(self):
        shutil.rmtree(self.lake, ignore_errors=True)

    def serve(self, name="serve"):
        process = self.scene.start(self.command(name))
        wait_for(lambda: listening(self.port) or process.poll() is not None, 60, f"ingot {name} listens")
        if process.poll() is not None:
            raise measure.Failed(f"ingot {name} ended; see {self.scene.log}")
        return process
