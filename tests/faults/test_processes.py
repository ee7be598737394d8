"""A real registry whose processes are killed, stopped and started twice."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from tests.support.http_client import Answer, Client, eventually
from tests.support.mounts import loop_disk
from tests.support.server import Server, ServerFailed

MIB = 1024 * 1024


@pytest.fixture
def server() -> Iterator[Server]:
    """A registry with two workers, whose admin is known."""
    with Server({"auth": {"none": {}}}) as running:
        yield running


def answers(client: Client) -> bool:
    """Say whether the registry answers."""
    return client.request("GET", "/v2/").status == 200


def pids(processes: list[psutil.Process]) -> set[int]:
    """Give the ids of processes."""
    return {process.pid for process in processes}


def test_a_killed_worker_is_replaced_and_the_other_goes_on(server: Server) -> None:
    """After kill -9 of one web worker, pulls go on and a second worker is there again within seconds."""
    client = Client.of(server)
    client.push_image("a/b", "one")
    before = pids(server.web_workers())
    victim = server.web_workers()[0]
    victim.kill()
    eventually(lambda: len(server.web_workers()) == 2 and pids(server.web_workers()) != before, what="two workers")
    eventually(lambda: all(answers(client) for _ in range(20)), what="20 answers in a row")
    assert client.request("GET", "/v2/a/b/manifests/one").status == 200


def longest_silence(server: Server, seconds: float, do: Callable[[], None]) -> float:
    """Ask on new connections again and again while something is done; return the longest time without an answer."""
    client, longest, last = Client.of(server), 0.0, time.monotonic()
    doing = threading.Thread(target=do)
    doing.start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError, HTTPException):
            if client.request("GET", "/v2/").status == 200:
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
        time.sleep(0.01)
    doing.join()
    return max(longest, time.monotonic() - last)


def test_killing_young_workers_does_not_stop_the_others() -> None:
    """A worker killed as soon as it is there, four times in a row: nobody waits for more than three seconds."""
    with Server({"auth": {"none": {}}}) as server:
        main = server.web_main().pid

        def kill_the_youngest() -> None:
            for _ in range(4):
                before = pids(server.web_workers())
                max(server.web_workers(), key=lambda worker: worker.create_time()).kill()
                eventually(lambda: len(pids(server.web_workers()) - before) == 1, what="a new worker")  # noqa: B023

        assert longest_silence(server, 6.0, kill_the_youngest) < 3.0
        assert server.web_main().pid == main


def test_a_worker_that_stands_still_is_replaced(server: Server) -> None:
    """Stopped by a signal, a web worker and the job worker are noticed, said and replaced; nobody else is."""
    server.wait_for_log("purged uploads")  # the job worker runs its jobs; all have said that they serve
    stopped, other = server.web_workers()
    jobs = server.job_worker()
    began = time.monotonic()
    for each in (stopped, jobs):
        each.suspend()
    eventually(lambda: not stopped.is_running() and len(server.web_workers()) == 2, 30, what="another web worker")
    eventually(lambda: not jobs.is_running() and server.job_worker().is_running(), 10, what="another job worker")
    assert time.monotonic() - began < 30
    assert other.pid in pids(server.web_workers())
    server.wait_for_log("a worker stands still and is replaced.*role=web")
    eventually(lambda: all(answers(Client.of(server)) for _ in range(20)), what="20 answers in a row")


def test_a_server_whose_shared_folder_was_removed_goes_on(server: Server) -> None:
    """As logind does it when a person signs out: made again at once, so that workers can start and are heard."""
    server.wait_for_log("purged uploads")
    open_files = [file.readlink() for file in Path(f"/proc/{server.pid}/fd").iterdir()]
    folder = next(file.parent for file in open_files if "/entrepot-run-" in str(file))
    shutil.rmtree(folder)
    eventually((folder / "notices").exists, 5, what="the folder again")
    server.wait_for_log("it is made again")
    victim, other = server.web_workers()
    victim.kill()
    eventually(lambda: pids(server.web_workers()) > {other.pid}, 10, what="another worker")
    eventually(lambda: all(answers(Client.of(server)) for _ in range(20)), what="20 answers in a row")
    assert "a worker stands still" not in server.logs()


def test_what_keeps_the_job_worker_from_starting_stops_nobody_else(server: Server) -> None:
    """It cannot have its key, as on a disk that is full at that moment: said, tried again, and pulls go on."""
    server.wait_for_log("purged uploads")
    Client.of(server).push_image("a/b", "one")
    keys = server.data / "entrepot" / "keys"
    aside = keys.rename(keys.with_name("aside"))
    keys.touch()
    server.job_worker().kill()
    server.wait_for_log("the job worker cannot start and is tried again.*exit code 1")
    assert Client.of(server).request("GET", "/v2/a/b/manifests/one").status == 200
    keys.unlink()
    aside.rename(keys)
    Client.of(server).push_image("a/later", "one")
    written = server.data / "docker/registry/v2/repositories/a/later/_manifests/tags/one/current/link"
    eventually(written.exists, 40, what="a job worker at work")


@pytest.mark.full
def test_workers_that_all_stand_still_are_replaced_one_at_a_time(server: Server) -> None:
    """Where the disk answers, both go; the second only when there is one that serves in the place of the first."""
    server.wait_for_log("purged uploads")
    stopped = server.web_workers()
    for worker in stopped:
        worker.suspend()
    eventually(lambda: not all(worker.is_running() for worker in stopped), 30, what="the first to be replaced")
    assert any(worker.is_running() for worker in stopped)
    eventually(lambda: not any(worker.is_running() for worker in stopped), what="the second to be replaced")
    eventually(lambda: all(answers(Client.of(server)) for _ in range(20)), what="20 answers in a row")


@pytest.mark.full
def test_a_disk_that_stands_still_is_said_and_costs_no_worker(tmp_path: Path) -> None:
    """While it gives no answer no silent worker is killed, the operator is told, and all goes on when it answers."""
    with loop_disk(tmp_path / "disk", 128) as disk, Server({"auth": {"none": {}}}, data=disk / "data") as server:
        server.wait_for_log("purged uploads")
        workers = server.web_workers()
        subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)
        for worker in workers:
            worker.suspend()
        try:
            server.wait_for_log("all workers stand still, and so does the storage", 40)
            assert Client(url=server.debug_url).request("GET", "/debug/health").status == 503
        finally:
            for worker in workers:
                worker.resume()
            subprocess.run(["fsfreeze", "--unfreeze", str(disk)], check=True)
        server.wait_for_log("the storage answers again")
        eventually(lambda: answers(Client.of(server)), what="an answer")
        assert pids(server.web_workers()) == pids(workers)
        assert Client(url=server.debug_url).request("GET", "/debug/health").status == 200


def test_a_killed_job_worker_is_started_again(server: Server) -> None:
    """The job worker is not missed by requests, and is there again at once."""
    eventually(lambda: server.job_worker().is_running(), what="a job worker")
    old = server.job_worker()
    old.kill()
    eventually(lambda: server.job_worker().pid != old.pid, what="another job worker")
    assert answers(Client.of(server))
    server.wait_for_log("a process ended and is started again.*role=job")


def test_a_killed_web_server_is_started_again_with_new_workers(server: Server) -> None:
    """Killing the process above the workers takes them along, so that none is left that nobody watches."""
    client = Client.of(server)
    client.push_image("a/b", "one")
    old_main, old_workers = server.web_main(), server.web_workers()
    old_main.kill()
    _, alive = psutil.wait_procs(old_workers, timeout=10)
    assert not alive
    eventually(lambda: answers(client), what="an answer")
    assert server.web_main().pid != old_main.pid
    assert client.request("GET", "/v2/a/b/manifests/one").status == 200


def test_a_killed_supervisor_leaves_nothing_running_and_can_be_started_again(server: Server) -> None:
    """kill -9 of the supervisor takes every child along, and the next start finds address and folder free."""
    client = Client.of(server)
    client.push_image("a/b", "one")
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        client.connect()
    server.start()
    assert client.request("GET", "/v2/a/b/manifests/one").status == 200


def test_stopping_lets_a_slow_download_finish(server: Server) -> None:
    """After SIGTERM a download in flight arrives whole, new connections are refused, and serve ends with 0."""
    client = Client.of(server)
    data = os.urandom(48 * MIB)
    digest = client.push_blob("a/b", data)
    pieces = iter(client.open("GET", f"/v2/a/b/blobs/{digest}").pieces(MIB))
    received = [next(pieces)]
    server.signal(signal.SIGTERM)
    eventually(lambda: refused(client), what="a refused connection")
    for piece in pieces:
        received.append(piece)
        time.sleep(0.01)
    assert f"sha256:{hashlib.sha256(b''.join(received)).hexdigest()}" == digest
    assert server.wait() == 0


def refused(client: Client) -> bool:
    """Say whether a new connection is refused."""
    try:
        client.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_stopping_under_load_gives_no_wrong_answer(server: Server) -> None:
    """Eight clients pull while serve is stopped: each answer is a whole 200; then connections are refused."""
    client = Client.of(server)
    digest = client.push_image("a/b", "one")
    answers_given: list[Answer] = []
    broken: list[Exception] = []

    def pull() -> None:
        while True:
            try:
                answers_given.append(client.request("GET", "/v2/a/b/manifests/one"))
            except ConnectionRefusedError:
                return
            except (OSError, HTTPException) as error:
                broken.append(error)

    threads = [threading.Thread(target=pull) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    assert len(answers_given) > 50
    assert {(answer.status, answer.headers["docker-content-digest"]) for answer in answers_given} == {(200, digest)}
    # A connection that a closing socket had not yet accepted is reset by the kernel: one for each client at most.
    assert len(broken) <= len(threads)


def test_stopping_waits_no_longer_than_the_drain_time() -> None:
    """A client that never finishes does not keep the registry from stopping."""
    with Server({"auth": {"none": {}}, "http": {"draintimeout": "2s"}}) as server:
        client = Client.of(server)
        digest = client.push_blob("a/b", os.urandom(32 * MIB))
        with closing(client.open("GET", f"/v2/a/b/blobs/{digest}")) as stalled:
            pieces = iter(stalled.pieces(MIB))
            next(pieces)
            begun = time.monotonic()
            assert server.stop() == 0
            assert 2 <= time.monotonic() - begun < 8


@pytest.mark.parametrize("hurried", [False, True])
def test_a_registry_that_leaves_says_so_first(hurried: bool) -> None:  # noqa: FBT001 - a case
    """Told to stop, it is not ready at once, serves until the delay or a second signal ends it, and keeps nobody."""
    with Server({"auth": {"none": {}}, "http": {"draindelay": "60s" if hurried else "2s"}}) as server:
        client = Client.of(server)
        digest = client.push_image("a/b", "one")
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        eventually(lambda: client.request("GET", "/readyz").json() == {"draining": "the registry is being stopped"}, 1)
        assert client.request("GET", "/healthz").status == 200
        eventually(lambda: client.request("GET", "/v2/").headers.get("connection") == "close", 1)
        assert client.request("GET", "/v2/a/b/manifests/one").headers["docker-content-digest"] == digest
        client.push_image("a/b", "two")
        if hurried:
            server.signal(signal.SIGTERM)
        else:
            assert time.monotonic() - begun < 2
        assert server.wait() == 0
        assert hurried or time.monotonic() - begun >= 2
        assert refused(client)


def test_ctrl_c_stops_like_sigterm(server: Server) -> None:
    """SIGINT, to the supervisor alone, ends everything with exit code 0."""
    family = server.family()
    server.signal(signal.SIGINT)
    assert server.wait() == 0
    assert not psutil.wait_procs(family, timeout=5)[1]


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.3])
def test_stopping_right_after_the_start_is_quick(pause: float) -> None:
    """A worker or the job process that is still starting does not hold up the end."""
    with Server({"auth": {"none": {}}}) as server:
        time.sleep(pause)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 12


def is_forking(server: Server) -> bool:
    """Say whether the first web worker is there, within a fraction of a millisecond."""
    assert server.process is not None
    with suppress(FileNotFoundError):  # one has just ended
        return any(children_of(child) for child in children_of(server.process.pid))
    return False


def children_of(pid: int) -> list[int]:
    """Give the ids of a process's children, which its only thread made."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_stopping_as_the_workers_are_forked_is_quick() -> None:
    """A worker that is told to stop before it can do anything hears it, and is not waited for until it is killed."""
    server = Server({"auth": {"none": {}}, "http": {"draintimeout": "15s"}}, start=False)
    try:
        server.start(wait=False)
        begun = time.monotonic()
        while not is_forking(server):
            assert time.monotonic() - begun < 30
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 12
    finally:
        server.close()


def test_a_second_instance_on_the_same_port_says_so(server: Server) -> None:
    """A second serve on the same address ends at once with exit code 1 and a sentence; the first goes on."""
    with pytest.raises(
        ServerFailed, match=f"(?s)exit code 1 before.*127.0.0.1:{server.port} is in use by another program"
    ):
        Server({"auth": {"none": {}}}, listen=server.address)
    assert answers(Client.of(server))


def test_a_port_of_another_program_is_refused() -> None:
    """A port that another program shares with everybody (SO_REUSEPORT) is not shared with it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ServerFailed, match="is in use by another program"):
            Server({"auth": {"none": {}}}, listen=f"127.0.0.1:{other.getsockname()[1]}")


def test_two_registries_share_a_folder(server: Server) -> None:
    """Two serve on one folder, each on its own port: what one was given, the other gives back."""
    with Server({"auth": {"none": {}}}, data=server.data) as second:
        one, two = Client.of(server), Client.of(second)
        digest = one.push_image("a/b", "one")
        assert two.request("GET", "/v2/a/b/manifests/one").headers["docker-content-digest"] == digest
        two.push_image("a/b", "one", b"another layer")
        assert one.request("HEAD", "/v2/a/b/manifests/one").headers["docker-content-digest"] != digest


@pytest.mark.parametrize("namespace", [[], ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]])
def test_two_registries_started_at_once_on_an_empty_folder(tmp_path: Path, namespace: list[str]) -> None:
    """Two serve started in the same instant, also each in its own PID namespace: one set of keys, one password."""
    data = tmp_path / "data"
    servers = [
        Server(data=data, env={"ENTREPOT_ADMIN_PASSWORD": None}, prefix=namespace, start=False) for _ in range(2)
    ]
    try:
        for server in servers:
            server.start(wait=False)
        for server in servers:
            server.wait_until_ready()
        outputs = "".join(server.logs() for server in servers)
        assert outputs.count("The first password of the account 'admin'") == 1
        one, two = (Client.of(server) for server in servers)
        token = one.request("GET", "/token?service=entrepot&scope=registry:catalog:*").json()["token"]
        theirs = Client(url=servers[1].url, headers={"Authorization": f"Bearer {token}"})
        assert theirs.request("GET", "/v2/_catalog").status == 200
        digest = two.push_image("a/b", "one")
        assert one.request("GET", "/v2/a/b/manifests/one").headers["docker-content-digest"] == digest
        servers[0].kill()
        assert two.request("GET", "/v2/a/b/manifests/one").status == 200
        two.push_image("a/b", "two")
    finally:
        for server in servers:
            server.close()


def test_an_error_at_the_first_start_ends_serve(tmp_path: Path) -> None:
    """A folder that cannot be used ends serve with exit code 1 and the reason, not with restarts."""
    data = tmp_path / "data"
    (data / "entrepot").mkdir(parents=True)
    (data / "entrepot" / "metadata.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(ServerFailed, match="ended with exit code 1") as failed:
        Server({"auth": {"none": {}}}, data=data)
    assert "entrepot: " in str(failed.value)
    assert "Traceback" not in str(failed.value)
    assert "started again" not in str(failed.value)


def test_a_unix_socket(tmp_path: Path) -> None:
    """http.net: unix serves on a socket; a left-over one is replaced, one in use is not."""
    path = tmp_path / "registry.sock"
    config = {"auth": {"none": {}}, "http": {"net": "unix", "addr": str(path)}}
    with Server(config, listen=None) as server:
        client = Client.of(server)
        assert client.request("GET", "/v2/").status == 200
        with pytest.raises(ServerFailed, match="is in use by another program"):
            Server(config, listen=None)
        assert client.request("GET", "/v2/").status == 200
        server.kill()
        assert path.exists()
        server.start()
        assert client.request("GET", "/v2/").status == 200
        assert server.stop() == 0


def test_the_debug_listener_knows_registry2s_paths() -> None:
    """/debug/health answers 200 {} or 503 with what is wrong, and can be set by hand; /readyz agrees."""
    with Server({"auth": {"none": {}}}) as server:
        debug, client = Client(url=server.debug_url), Client.of(server)
        assert (debug.request("GET", "/debug/health").status, debug.request("GET", "/debug/health").json()) == (200, {})
        assert debug.request("POST", "/debug/health/down").status == 200
        answer = debug.request("GET", "/debug/health")
        assert answer.status == 503
        assert list(answer.json()) == ["manual_http_status"]
        assert client.request("GET", "/readyz").status == 503
        assert debug.request("POST", "/debug/health/up").status == 200
        assert debug.request("GET", "/debug/health").status == 200
        assert client.request("GET", "/readyz").status == 200
        assert debug.request("GET", "/nothing").status == 404


def test_a_file_takes_the_registry_out_of_service(tmp_path: Path) -> None:
    """health.file fails while its file exists, and no longer."""
    flag = tmp_path / "down"
    health = {"file": [{"file": str(flag), "interval": "100ms"}], "storagedriver": {"enabled": True}}
    with Server({"auth": {"none": {}}, "health": health}) as server:
        debug = Client(url=server.debug_url)
        assert debug.request("GET", "/debug/health").status == 200
        flag.touch()
        eventually(lambda: debug.request("GET", "/debug/health").json() == {str(flag): "file exists"})
        flag.unlink()
        eventually(lambda: debug.request("GET", "/debug/health").status == 200)


def test_metrics_count_all_workers_and_survive_their_death(server: Server) -> None:
    """Requests of all workers are counted under our names and registry:2's, also those of a worker killed since."""
    client, debug = Client.of(server), Client(url=server.debug_url)
    for _ in range(20):
        assert client.request("GET", "/v2/").status == 200
    assert client.request("GET", "/v2/a/b/manifests/none").status == 404

    def counted(line: str) -> bool:
        return line in debug.request("GET", "/metrics").body.decode().splitlines()

    ours = 'entrepot_http_request_seconds_count{method="GET",route="base",status="200"} 20.0'
    theirs = 'registry_http_requests_total{code="200",handler="base",method="get"} 20.0'
    missing = 'registry_http_requests_total{code="404",handler="manifest",method="get"} 1.0'
    eventually(lambda: all(map(counted, (ours, theirs, missing))), what="21 requests")
    before = pids(server.web_workers())
    for worker in server.web_workers():
        worker.kill()
    eventually(lambda: answers(client) and not before & pids(server.web_workers()), what="new workers")
    eventually(lambda: counted('entrepot_http_in_flight_requests{route="base"} 0.0'), what="nobody in flight")
    total = next(
        line for line in debug.request("GET", "/metrics").body.decode().splitlines() if line.startswith(ours[:-4])
    )
    assert float(total.split()[-1]) >= 20


def test_the_shared_folder_goes_with_the_supervisor(server: Server) -> None:
    """Nothing of a run is left in temporary folders, whether it was stopped or (by the next start) killed."""
    held = server.run_folder()
    assert held.is_dir()
    server.kill()
    server.start()
    assert not held.exists()
    held = server.run_folder()
    server.stop()
    assert not held.exists()


def test_read_only_is_seen_by_every_worker_within_a_second(server: Server) -> None:
    """`entrepot readonly on` makes each worker refuse pushes within a second, while pulls go on."""
    client = Client.of(server)
    client.push_image("a/b", "one")
    run_command(server, "readonly", "on")
    time.sleep(1)
    assert {client.request("POST", "/v2/a/b/blobs/uploads/").status for _ in range(20)} == {405}
    assert client.request("GET", "/v2/a/b/manifests/one").status == 200
    run_command(server, "readonly", "off")
    time.sleep(1)
    assert {client.request("POST", "/v2/a/b/blobs/uploads/").status for _ in range(20)} == {202}


def run_command(server: Server, *arguments: str) -> str:
    """Run an entrepot command on the server's folder; returns its output."""
    return server.run(*arguments, "--data", str(server.data))


def test_requests_go_on_while_workers_are_killed_at_random(server: Server) -> None:
    """Ten seconds of pulls with a worker killed each second: no wrong answer, only connections cut or refused."""
    client = Client.of(server)
    digest = client.push_image("a/b", "one")
    wrong: list[object] = []
    stop = threading.Event()

    def pull() -> None:
        while not stop.is_set():
            try:
                answer = client.request("GET", "/v2/a/b/manifests/one")
            except (OSError, HTTPException):
                time.sleep(0.02)
                continue
            if answer.status != 200 or answer.headers["docker-content-digest"] != digest:
                wrong.append(answer)

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(1.2)
        workers = server.web_workers()
        if workers:
            workers[0].kill()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    eventually(lambda: len(server.web_workers()) == 2 and answers(client), 60, what="two workers again")
