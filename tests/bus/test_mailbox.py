"""Two parties' mailboxes on a real server; the parties are threads or processes.

Every test runs twice: with large payloads in files beside the server's socket, and over TCP, with chunks on the server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from playground_ext.bus.connection import CHUNK_BYTES, Connection
from playground_ext.bus.envelope import Envelope, Header, Pointer, checksum, encode_header
from playground_ext.bus.keys import RunKeys
from playground_ext.bus.mailbox import Mailbox
from playground_ext.bus.server import EmbeddedServer
from playground_ext.errors import PartyReplaced, ProtocolError, ReceiveTimeout, ServerFull
from playground_ext.party.outbox import Outbox

KEYS = RunKeys("task", "run1")
KINDS = ("weights", "update", "note")
PARTIES = ("alice", "bob", "carol")


class QuietGuard:
    """Nobody fails, nobody dies."""

    def check(self) -> None:
        return None

    def is_lost(self, party: str) -> bool:
        return False

    def calm_since(self) -> float:
        return 0.0

    def last_word(self, party: str) -> str:
        return f"{party} said nothing"

    def wait(self, timeout: float) -> None:
        threading.Event().wait(timeout)


MakeMailbox = Callable[..., Mailbox]


@pytest.fixture(params=["files", "chunks"])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(port=0 if request.param == "chunks" else None) as running:
        yield running


def stored(server: EmbeddedServer) -> list[str]:
    """The payloads that somebody may still load: names of files, or keys of chunks."""
    files = [path.name for path in (server.folder / "p").rglob("*") if path.is_file() and path.suffix != ".free"]
    with Connection(server.url) as connection:
        return sorted(files + [key.decode() for key in connection.client.keys("*") if b":b:" in key])


@pytest.fixture
def mailbox(server: EmbeddedServer, tmp_path: Path) -> Iterator[MakeMailbox]:
    made: list[Mailbox] = []

    def make(me: str, *, incarnation: int = 1, url: str | None = None) -> Mailbox:
        peers = [party for party in PARTIES if party != me]
        box = Mailbox(
            url or server.url,
            KEYS,
            me,
            peers,
            incarnation=incarnation,
            outbox=Outbox(tmp_path / me / "outbox", durable=False),
            guard=QuietGuard(),
            kinds=KINDS,
        )
        made.append(box)
        return box

    yield make
    for box in made:
        box.close()


def test_envelopes_arrive_once_and_in_order(mailbox: MakeMailbox) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    for round, payload in enumerate((b"1", b"2", b"3"), start=1):
        alice.send("bob", "weights", payload, round=round)

    arrived = [bob.receive("alice", "weights", timeout=5) for _ in range(3)]

    assert [bytes(envelope.payload) for envelope in arrived] == [b"1", b"2", b"3"]
    assert [envelope.seq for envelope in arrived] == [1, 2, 3]
    with pytest.raises(ReceiveTimeout, match="alice sent no 'weights'"):
        bob.receive("alice", "weights", timeout=0.1)


@pytest.mark.parametrize("size", [0, 1, 64 << 10, (64 << 10) + 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES - 7])
def test_payloads_of_every_size_arrive_unchanged(mailbox: MakeMailbox, size: int) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    payload = os.urandom(size)

    alice.send("bob", "weights", [payload[: size // 3], memoryview(payload)[size // 3 :]], meta={"n": size})
    envelope = bob.receive("alice", "weights", timeout=5)

    assert bytes(envelope.payload) == payload
    assert envelope.meta == {"n": size}
    assert (alice.sent_bytes["bob"], bob.received_bytes["alice"]) == (size, size)


def test_a_message_that_nobody_awaits_yet_is_kept_for_later(mailbox: MakeMailbox) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    alice.send("bob", "note", b"later")
    alice.send("bob", "weights", b"first", round=2)

    assert bytes(bob.receive("alice", "weights", round=2, timeout=5).payload) == b"first"
    assert bytes(bob.receive("alice", "note", timeout=5).payload) == b"later"


def test_gather_returns_in_the_asked_order_and_reports_arrivals(mailbox: MakeMailbox) -> None:
    alice, bob, carol = mailbox("alice"), mailbox("bob"), mailbox("carol")
    carol.send("alice", "update", b"c", round=1)
    bob.send("alice", "update", b"b", round=1)
    seen: list[Envelope] = []

    gathered = alice.gather(["bob", "carol"], "update", round=1, timeout=5, on_arrival=seen.append)

    assert list(gathered) == ["bob", "carol"]
    assert sorted(envelope.sender for envelope in seen) == ["bob", "carol"]


def test_the_silent_party_is_named_with_its_last_word(mailbox: MakeMailbox) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    bob.send("alice", "update", b"", round=3)

    with pytest.raises(
        ReceiveTimeout, match=r"carol sent no 'update' for round 3 within 0 s \(carol: carol said nothing\)"
    ):
        alice.gather(["bob", "carol"], "update", round=3, timeout=0.2)


def test_a_broadcast_is_stored_once(mailbox: MakeMailbox, server: EmbeddedServer) -> None:
    alice = mailbox("alice")
    alice.send(["bob", "carol"], "weights", os.urandom(CHUNK_BYTES + 1), round=1)
    client = Connection(server.url).client

    in_chunks = [KEYS.chunk("all", "alice", 1, 1, index) for index in range(2)]
    assert stored(server) == (["all.alice.1.1"] if server.url.startswith("unix:") else in_chunks)
    assert client.xlen(KEYS.data("bob", "alice")) == client.xlen(KEYS.data("carol", "alice")) == 1


def test_who_watches_sees_the_header_of_a_large_tensor_frame_and_nothing_of_its_values(
    mailbox: MakeMailbox, server: EmbeddedServer
) -> None:
    alice = mailbox("alice")
    header = b'{"w":{"dtype":"F32","shape":[50000],"data_offsets":[0,200000]}}'
    frame = len(header).to_bytes(8, "little") + header + b"SECRET.." * 25_000
    alice.send("bob", "weights", frame, round=1)
    alice.send("bob", "weights", [frame[: 8 + len(header)], frame[8 + len(header) :]], round=2)
    alice.send("bob", "weights", b"SECRET.." * 25_000, round=3)

    entries = Connection(server.url).client.xrange(KEYS.data("bob", "alice"))

    assert [fields[b"t"] for _, fields in entries] == [frame[: 8 + len(header)]] * 2 + [b""]


def test_a_kind_that_the_algorithm_does_not_know_is_refused(mailbox: MakeMailbox, server: EmbeddedServer) -> None:
    bob = mailbox("bob")
    _inject(server, Header("surprise", 1, 0, "", {}, 0, checksum([])))

    with pytest.raises(
        ProtocolError, match="alice sent a 'surprise' message; this algorithm knows note, update, weights"
    ):
        bob.receive("alice", "weights", timeout=5)


def test_a_claimed_size_is_not_believed(mailbox: MakeMailbox, server: EmbeddedServer) -> None:
    bob = mailbox("bob")
    huge = 7 << 30
    _inject(server, Header("weights", 1, 0, "", {}, huge, "0" * 32, Pointer("bob", 1, huge, "0" * 32)))

    with pytest.raises(ReceiveTimeout, match="announced the message, but its payload is not there"):
        bob.receive("alice", "weights", timeout=0.2)


def test_a_damaged_payload_is_refused(mailbox: MakeMailbox, server: EmbeddedServer) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    alice.send("bob", "weights", bytes(CHUNK_BYTES), round=4)
    if server.url.startswith("unix:"):
        with (server.folder / "p" / KEYS.task / KEYS.run / "bob.alice.1.1").open("r+b") as file:
            file.seek(1000)
            file.write(b"x")
    else:
        Connection(server.url).client.setrange(KEYS.chunk("bob", "alice", 1, 1, 0), 1000, b"x")

    with pytest.raises(ProtocolError, match="the payload of alice's 'weights' for round 4 is damaged"):
        bob.receive("alice", "weights", timeout=5)


def test_a_header_that_is_not_json_is_refused(mailbox: MakeMailbox, server: EmbeddedServer) -> None:
    bob = mailbox("bob")
    Connection(server.url).client.xadd(KEYS.data("bob", "alice"), {"h": b"\x80\x04pickle", "d": b""}, id="1-1")

    with pytest.raises(ProtocolError, match="alice sent a header that cannot be read"):
        bob.receive("alice", "weights", timeout=5)


def test_a_second_incarnation_resends_and_the_receiver_sees_each_message_once(mailbox: MakeMailbox) -> None:
    first, bob = mailbox("alice"), mailbox("bob")
    first.send("bob", "update", b"one", round=1)
    assert bytes(bob.receive("alice", "update", timeout=5).payload) == b"one"
    first.send("bob", "update", b"two", round=2)
    first.close()

    second = mailbox("alice", incarnation=2)
    second.restore({})
    second.send("bob", "update", b"two", round=2)  # computed again after the crash: it was sent before
    second.send("bob", "update", b"three", round=3)

    assert [bytes(bob.receive("alice", "update", timeout=5).payload) for _ in range(2)] == [b"two", b"three"]
    with pytest.raises(ReceiveTimeout):
        bob.receive("alice", "update", timeout=0.2)


def test_an_older_incarnation_is_told_that_it_was_replaced(mailbox: MakeMailbox, server: EmbeddedServer) -> None:
    zombie, heir = mailbox("alice"), mailbox("alice", incarnation=2)
    heir.send("bob", "update", b"mine", round=1)

    with pytest.raises(PartyReplaced, match="another notebook has joined this run as alice"):
        zombie.send("bob", "update", b"late", round=2)


def test_a_round_that_comes_out_differently_the_second_time_is_named(mailbox: MakeMailbox) -> None:
    alice = mailbox("alice")
    alice.send("bob", "update", b"first", round=5)

    with pytest.raises(ProtocolError, match="alice computed another 'update' for round 5"):
        alice.send("bob", "update", b"other", round=5)


@pytest.mark.parametrize("size", [10, CHUNK_BYTES + 5])
def test_a_server_that_lost_its_data_loses_no_message(mailbox: MakeMailbox, size: int) -> None:
    folder = Path(tempfile.gettempdir()) / f"pg-mailbox-{os.getpid()}"
    payloads = [os.urandom(size) for _ in range(3)]
    with EmbeddedServer(folder) as first:
        alice, bob = mailbox("alice", url=first.url), mailbox("bob", url=first.url)
        alice.send("bob", "update", payloads[0], round=1)
        assert bytes(bob.receive("alice", "update", timeout=5).payload) == payloads[0]
        alice.send("bob", "update", payloads[1], round=2)
    with EmbeddedServer(folder):
        alice.send("bob", "update", payloads[2], round=3)
        arrived = [bytes(bob.receive("alice", "update", timeout=10).payload) for _ in range(2)]

    assert arrived == payloads[1:]


def test_acknowledged_messages_leave_server_and_outbox(
    mailbox: MakeMailbox, server: EmbeddedServer, tmp_path: Path
) -> None:
    alice, bob, carol = mailbox("alice"), mailbox("bob"), mailbox("carol")
    client = Connection(server.url).client

    for round in range(1, 41):
        alice.send(["bob", "carol"], "weights", bytes(CHUNK_BYTES // 2), round=round)
        for receiver, name in ((bob, "bob"), (carol, "carol")):
            receiver.receive("alice", "weights", round=round, timeout=5)
            alice.acknowledged(name, *receiver.taken["alice"])

    assert len(list((tmp_path / "alice" / "outbox").glob("*.msg"))) == 1  # the last one is released with the next send
    assert len(stored(server)) == 1
    assert len(list((server.folder / "p").rglob("*.free"))) <= 2  # kept for the next payloads
    assert client.xlen(KEYS.data("bob", "alice")) == 17  # 16 without their payloads stay for those who watch


def test_a_message_stays_until_every_receiver_has_acknowledged_it(mailbox: MakeMailbox, tmp_path: Path) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    alice.send(["bob", "carol"], "weights", bytes(100_000), round=1)
    bob.receive("alice", "weights", timeout=5)
    alice.acknowledged("bob", *bob.taken["alice"])
    alice.send("bob", "note", b"", round=1)

    assert len(list((tmp_path / "alice" / "outbox").glob("*.msg"))) == 1


def test_a_full_server_names_who_has_acknowledged_least(mailbox: MakeMailbox) -> None:
    with EmbeddedServer(port=0, max_memory=48 << 20) as small:
        alice = mailbox("alice", url=small.url)

        def send_more_than_fits() -> None:
            for round in range(1, 8):
                alice.send("bob", "weights", bytes(12 << 20), round=round, timeout=0.5)

        with pytest.raises(ServerFull, match=r"memory.*bob has acknowledged least of what alice sent"):
            send_more_than_fits()


def test_a_full_server_is_waited_for(mailbox: MakeMailbox) -> None:
    with EmbeddedServer(port=0, max_memory=48 << 20) as small:
        alice, bob = mailbox("alice", url=small.url), mailbox("bob", url=small.url)
        alice.send("bob", "weights", bytes(12 << 20), round=1)
        alice.send("bob", "weights", bytes(12 << 20), round=2)

        def catch_up() -> None:
            for round in (1, 2):
                bob.receive("alice", "weights", round=round, timeout=10)
            threading.Event().wait(0.3)
            alice.acknowledged("bob", *bob.taken["alice"])

        helper = threading.Thread(target=catch_up)
        helper.start()
        for round in (3, 4):
            alice.send("bob", "weights", bytes(12 << 20), round=round, timeout=20)
        helper.join()

        assert bytes(bob.receive("alice", "weights", round=4, timeout=10).payload) == bytes(12 << 20)


PARTY = """
    import sys
    from pathlib import Path
    from playground_ext.bus.keys import RunKeys
    from playground_ext.bus.mailbox import Mailbox
    from playground_ext.party.outbox import Outbox
    sys.path.insert(0, {tests!r})
    from test_mailbox import QuietGuard
    url, folder, incarnation = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    box = Mailbox(url, RunKeys("task", "run1"), "alice", ["bob"], incarnation=incarnation, outbox=Outbox(folder),
                  guard=QuietGuard(), kinds=("update",))
    box.restore({{}})
"""


def _party(server: EmbeddedServer, folder: Path, incarnation: int, code: str) -> subprocess.Popen[str]:
    source = textwrap.dedent(PARTY).format(tests=str(Path(__file__).parent)) + textwrap.dedent(code)
    command = [sys.executable, "-c", source, server.url, str(folder), str(incarnation)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_sender_comes_back_and_sends_what_its_outbox_holds(
    mailbox: MakeMailbox, server: EmbeddedServer, tmp_path: Path
) -> None:
    bob = mailbox("bob")
    outbox = tmp_path / "killed"
    with _party(
        server,
        outbox,
        1,
        """
        import os, signal
        box.send("bob", "update", b"sent", round=1)
        box._sender._transmit = lambda outgoing, pieces: os.kill(os.getpid(), signal.SIGKILL)
        box.send("bob", "update", b"kept", round=2)
        """,
    ) as killed:
        assert killed.wait(20) == -signal.SIGKILL
    assert bytes(bob.receive("alice", "update", timeout=5).payload) == b"sent"

    with _party(server, outbox, 2, "box.send('bob', 'update', b'next', round=3)") as back:
        assert back.wait(20) == 0

    assert [bytes(bob.receive("alice", "update", timeout=5).payload) for _ in range(2)] == [b"kept", b"next"]


def test_a_receiver_that_starts_over_reads_again_what_it_has_not_acknowledged(mailbox: MakeMailbox) -> None:
    alice, bob = mailbox("alice"), mailbox("bob")
    for round in (1, 2):
        alice.send("bob", "weights", bytes([round]), round=round)
    bob.receive("alice", "weights", round=1, timeout=5)
    durable = bob.taken
    bob.receive("alice", "weights", round=2, timeout=5)
    bob.close()

    again = mailbox("bob", incarnation=2)
    again.restore({"alice": (1, 1)})

    assert durable["alice"][0] == 1
    assert bytes(again.receive("alice", "weights", round=2, timeout=5).payload) == b"\x02"


def _inject(server: EmbeddedServer, header: Header) -> None:
    """Write what only a hostile or broken alice would write."""
    data = encode_header(header)
    Connection(server.url).client.xadd(KEYS.data("bob", "alice"), {"h": data, "d": checksum([data])}, id="1-1")
