"""The websocket: what a page gets, in which order, and that nothing is lost or comes twice."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from pathlib import Path

import msgspec
import pytest
from speakers import Speakers

from playground_ext.bus.connection import Connection
from playground_ext.bus.envelope import Header, Pointer, checksum, encode_header
from playground_ext.bus.server import EmbeddedServer
from playground_ext.bus.shared import shared_server
from playground_ext.server import live
from playground_ext.server.hub import Hub

PARTY = """
import time
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset
from playground_ext import logger, mock_context
from playground_ext.fed_avg import FedAvgScheduler

class Demo(FedAvgScheduler):
    def build_model(self):
        return nn.Linear(6, 3)
    def build_optimizer(self, model):
        return optim.SGD(model.parameters(), lr=0.1)
    def build_train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(20, 6), torch.randint(3, (20,))), batch_size=10)
    def build_test_dataloader(self):
        return self.build_train_dataloader()
    def train_an_epoch(self):
        for x, y in self.train_loader:
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(x), y)
            loss.backward()
            self.optimizer.step()
        time.sleep(0.2)  # the page is told how the parties stand ten times a second: it sees them running
        logger.info("%s trained round %d", self.id, self.current_round)
        return {{"loss": loss.item()}}
    def run_test(self):
        return {{"accuracy": 0.5}}

scheduler = Demo(max_rounds=3, log_rounds=1)
with mock_context(id={me!r}, nodes={nodes!r}, task_id="live"):
    scheduler.run()
"""


def live_parties(nodes: list[str]) -> dict[str, str]:
    return {node: PARTY.format(me=node, nodes=nodes) for node in nodes}


async def test_a_page_follows_real_parties_from_the_first_to_the_last_line(api, page, parties):
    nodes = ["aggregator", "collaborator-1", "collaborator-2"]
    async with page() as one:
        await one.say(subscribe="tasks")
        await one.watch("live")
        await one.until("error", lambda frame: frame["task"] == "live")  # it is not there yet
        sources = live_parties(nodes)
        parties.start("aggregator", sources.pop("aggregator"))
        await one.until("parties", lambda task: task["status"] == "waiting", timeout=60)
        for node, source in sources.items():
            parties.start(node, source)

        def over(task) -> bool:  # the run ends with its initiator's last word, which the others' follow
            return {task["status"], *(party["status"] for party in task["parties"])} == {"finished"}

        ended = await one.until("parties", over, timeout=60)
        assert [(p["party"], p["role"], p["status"], p["round"]) for p in ended["parties"]] == [
            ("aggregator", "aggregator", "finished", 3),
            ("collaborator-1", "collaborator", "finished", 3),
            ("collaborator-2", "collaborator", "finished", 3),
        ]
        assert (ended["round"], ended["rounds"], ended["algorithm"]) == (3, 3, "FedAvgScheduler")
        statuses = [f["data"]["status"] for f in one.frames if f["channel"] == "parties"]
        assert "running" in statuses

        while not (lists := [f["data"] for f in one.frames if f["channel"] == "tasks"]) or not any(
            task["status"] == "finished" for task in lists[-1]
        ):
            await one.next()
        (listed,) = lists[-1]
        assert (listed["task"], listed["source"], listed["parties"], listed["round"]) == ("live", "notebooks", 3, 3)

        # one model to each of two collaborators in 3 rounds and after them, one update from each in 3 rounds
        sent = [(m["from"], m["to"], m["kind"], m["round"]) for m in one.items["messages"]]
        assert sorted(sent) == sorted(
            [("aggregator", node, "global", r) for node in nodes[1:] for r in (0, 1, 2, 3)]
            + [(node, "aggregator", "update", r) for node in nodes[1:] for r in (1, 2, 3)]
        )
        assert all(
            message["tensors"]
            == [
                {"name": "weight", "dtype": "F32", "shape": [3, 6]},
                {"name": "bias", "dtype": "F32", "shape": [3]},
            ]
            for message in one.items["messages"]
        )
        assert not any(message["late"] for message in one.items["messages"])
        losses = [p for p in one.items["metrics"] if p["name"] == "train/loss"]
        assert sorted((p["party"], p["round"]) for p in losses) == [(n, r) for n in nodes[1:] for r in (1, 2, 3)]
        size = one.items["messages"][0]["size"]

        def is_whole(rows: list[dict[str, int]]) -> bool:
            return sum(row["sent"] for row in rows) == sum(row["received"] for row in rows) == 14 * size

        if not any(is_whole(f["data"]) for f in one.frames if f["channel"] == "traffic"):
            await one.until("traffic", is_whole)

    home = Path(os.environ["PLAYGROUND_HOME"])
    written = [
        json.loads(line)["text"]
        for node in nodes
        for line in (home / "live" / node / "logs.jsonl").read_text().splitlines()
    ]
    assert sorted(item["text"] for item in one.items["logs"]) == sorted(written)
    for channel in one.items:
        assert one.seqs(channel) == list(range(1, len(one.seqs(channel)) + 1))

    # 2 models and 2 updates in each of 3 rounds; 2 final models outside of them
    _, traffic = await api("GET", "tasks/live/traffic")
    assert [row for row in traffic if row["party"] == "aggregator"] == [
        {"party": "aggregator", "round": 0, "sent": 2 * size, "received": 0},
        *({"party": "aggregator", "round": r, "sent": 2 * size, "received": 2 * size} for r in (1, 2, 3)),
    ]

    # every round is what its party's own report says of it
    _, phases = await api("GET", "tasks/live/timeline")
    assert {(p["party"], p["round"]) for p in phases if p["round"]} == {(n, r) for n in nodes for r in (1, 2, 3)}
    for node in nodes:
        report = json.loads((home / "live" / node / "latest" / "results" / "report.json").read_text())
        for entry in report["round_reports"]:
            own = {p["phase"]: p["seconds"] for p in phases if (p["party"], p["round"]) == (node, entry["round"])}
            assert set(own) == {"wait", "transfer", "compute"}
            assert sum(own.values()) == pytest.approx(entry["seconds"])
            assert own["transfer"] == pytest.approx(entry["transferred"])
            assert own["wait"] == pytest.approx(entry["waited"])

    # what receivers said that they took; the last message of all is taken by parties that then say no more
    _, messages = await api("GET", "tasks/live/messages")
    took = {item["message"]: item["latency"] for item in one.items["latencies"]}
    took |= {m["seq"]: m["latency"] for m in one.items["messages"] if m["latency"] is not None}
    assert took == {m["seq"]: m["latency"] for m in messages if m["latency"] is not None}
    assert {m["seq"] for m in messages if 0 < m["round"] < 3} <= set(took)
    assert all(0 <= seconds < 60 for seconds in took.values())


async def test_a_task_has_the_title_of_its_federation_before_and_after_it_is_followed(api, page, speakers):
    order = {"template": "fed_avg", "name": "talk", "roles": {"collaborator": 1}}
    status, made = await api("POST", "federations", order)
    assert status in (200, 201), made
    speakers(made["task"]).open()
    async with page() as one:
        await one.watch(made["task"])
        said = await one.until("parties", lambda task: task["status"] == "running")
        assert said["title"] == made["title"] == "FedAvg on handwritten digits"
    _, tasks = await api("GET", "tasks")
    assert [(task["task"], task["title"]) for task in tasks] == [(made["task"], made["title"])]


async def test_backlog_first_then_what_is_said_and_two_pages_see_the_same_numbers(page, speakers):
    talk = speakers()
    talk.open()
    talk.log("aggregator", "one", "two")
    async with page() as one:
        await one.watch("talk", ["logs"])
        assert await one.lines(2) == ["one", "two"]
        talk.log("collaborator-1", "three")
        async with page() as two:
            await two.watch("talk", ["logs"])
            assert await one.lines(3) == await two.lines(3) == ["one", "two", "three"]
            talk.log("aggregator", "four")
            await asyncio.gather(one.lines(4), two.lines(4))
            assert one.items["logs"] == two.items["logs"]
            assert one.seqs() == [1, 2, 3, 4]
            assert one.run == two.run


async def test_a_page_that_reconnects_gets_what_it_missed_and_nothing_twice(page, speakers, monkeypatch):
    monkeypatch.setattr("playground_ext.server.hub.LINGER", 0.1)  # so that the feed stops meanwhile
    talk = speakers()
    talk.open()
    talk.log("aggregator", *(f"a{n}" for n in range(100)))
    async with page() as one:
        await one.watch("talk", ["logs"])
        await one.lines(100)
    await asyncio.sleep(0.8)
    talk.log("aggregator", *(f"b{n}" for n in range(100)))
    async with page() as two:
        await two.watch("talk", ["logs"], run=one.run, after={"logs": 60})
        texts = await two.lines(140)
        assert two.run == one.run
        assert two.seqs() == list(range(61, 201))
        assert texts == [f"a{n}" for n in range(60, 100)] + [f"b{n}" for n in range(100)]


async def test_numbers_of_another_run_do_not_count(page, speakers):
    talk = speakers()
    talk.open()
    talk.log("aggregator", "new")
    async with page() as one:
        await one.watch("talk", ["logs"], run="of-yesterday", after={"logs": 5000})
        assert await one.lines(1) == ["new"]


async def test_a_page_without_lines_gets_the_newest_5000_and_the_rest_by_request(api, page, speakers):
    talk = speakers()
    talk.open()
    for start in range(0, 7000, 1000):
        talk.log("aggregator", *(str(n) for n in range(start, start + 1000)))
    async with page() as one:
        await one.watch("talk", ["logs"])
        await one.lines(5000)
        assert one.seqs() == list(range(2001, 7001))
        _, older = await api("GET", "tasks/talk/logs", before=str(one.seqs()[0]), limit="1500")
        assert [line["seq"] for line in older["records"]] == list(range(501, 2001))
        assert (older["first"], older["run"]) == (501, one.run)


async def test_a_new_run_begins_a_new_numbering(page, speakers):
    talk = speakers()
    talk.open()
    talk.log("aggregator", "old")
    async with page() as one:
        await one.watch("talk", ["logs", "parties"])
        await one.lines(1)
        first = one.run
        talk.open()
        talk.lines = dict.fromkeys(talk.nodes, 0)
        talk.log("aggregator", "new one", "new two")
        await one.until("logs", lambda lines: lines[0]["text"] == "new one")
        assert one.run != first
        assert one.seqs()[0] == 1


async def test_a_party_that_dies_is_lost_and_one_that_fails_says_where(page, speakers):
    talk = speakers(nodes=["aggregator", "collaborator-1", "collaborator-2"])
    talk.open()
    for node in talk.nodes:
        talk.control(node, "progress", state="training", round=2)
    async with page() as one:
        await one.watch("talk", ["parties"])
        await one.until("parties", lambda task: {p["state"] for p in task["parties"]} == {"training"})
        talk.leases[2].release()
        task = await one.until("parties", lambda task: task["parties"][2]["status"] == "lost")
        assert task["parties"][2]["state"] == "gone while it was training"
        assert [party["alive"] for party in task["parties"]] == [True, True, False]
        body = {"error": "ValueError: broken", "traceback": "\x1b[31mTraceback\x1b[0m …", "cell": "cell [5]"}
        said = time.monotonic()
        talk.control("collaborator-1", "fail", **body, line="line 3", round=2, log_id="5-0")
        task = await one.until("parties", lambda task: task["failure"] is not None)
        assert time.monotonic() - said < 3
        assert task["failure"] == task["parties"][1]["error"]
        assert {name: task["failure"][name] for name in ("party", "kind", "message", "execution_count", "line")} == {
            "party": "collaborator-1",
            "kind": "ValueError",
            "message": "broken",
            "execution_count": 5,
            "line": 3,
        }
        assert task["failure"]["traceback"] == "Traceback …"


async def test_who_waits_in_the_lobby_is_shown_before_there_is_a_run(page, speakers):
    talk = speakers()
    hello = talk.hello("collaborator-1")
    talk.connection.client.hset(
        "pg:{talk}:lobby", "collaborator-1", msgspec.json.encode({"since": time.time(), **hello})
    )
    async with page() as one:
        await one.say(subscribe="tasks")
        (task,) = await one.until("tasks", lambda tasks: tasks)
        assert (task["task"], task["status"]) == ("talk", "waiting")
        await one.watch("talk", ["parties"])
        task = await one.until("parties")
        assert [(p["party"], p["status"], p["state"]) for p in task["parties"]] == [
            ("collaborator-1", "waiting", "waiting for the others")
        ]


async def test_shapes_are_shown_and_values_never(api, page, speakers):
    talk = speakers()
    keys = talk.open()
    secret = b"\x11SECRET\x22" * 4
    head = msgspec.json.encode(
        {"__metadata__": {"note": "SECRET"}, "w": {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}}
    )
    frame = len(head).to_bytes(8, "little") + head + secret
    chunked = b"".join([frame, b"\0" * (4 << 20)])
    pointer = Pointer("all", 2, len(chunked), checksum([chunked]))
    client = talk.connection.client
    for number, payload, where in ((1, frame, None), (2, chunked, pointer), (3, secret, None)):
        header = Header("global", number, 0, "s", {"label": "SECRET"}, len(payload), checksum([payload]), where)
        fields = {"h": encode_header(header)} | ({"t": frame[: -len(secret)]} if where else {"p": payload})
        client.xadd(keys.data("collaborator-1", "aggregator"), fields, id=f"1-{number}")
    async with page() as one:
        await one.watch("talk")
        while len(one.items["messages"]) < 3:
            await one.next()
        inline, large, unknown = one.items["messages"]
        assert inline["tensors"] == large["tensors"] == [{"name": "w", "dtype": "F32", "shape": [2, 4]}]
        assert unknown["tensors"] is None
        assert (large["size"], large["late"]) == (len(chunked), True)
    assert "SECRET" not in json.dumps(one.frames)
    assert "SECRET" not in json.dumps(await api("GET", "tasks/talk/messages"))


async def test_a_message_that_is_sent_again_is_counted_once(api, speakers):
    talk = speakers()
    keys = talk.open()
    for entry in ("1-1", "2-1"):  # a party that came back sends what was not acknowledged
        header = Header("update", 1, 0, "", {}, 5, checksum([b"12345"]))
        fields = {"h": encode_header(header), "p": b"12345"}
        talk.connection.client.xadd(keys.data("aggregator", "collaborator-1"), fields, id=entry)

    assert len((await api("GET", "tasks/talk/messages"))[1]) == 1
    assert (await api("GET", "tasks/talk/traffic"))[1] == [
        {"party": "aggregator", "round": 1, "sent": 0, "received": 5},
        {"party": "collaborator-1", "round": 1, "sent": 5, "received": 0},
    ]


async def test_nonsense_on_the_streams_ends_nothing(page, speakers):
    talk = speakers()
    keys = talk.open()
    client = talk.connection.client
    client.xadd(keys.log, {"p": "aggregator", "r": b"\xff", "s": "x", "f": 1, "l": 1, "e": 0})
    client.xadd(keys.log, {"p": "stranger", "r": b'{"a":1}\n', "s": 1, "f": 1, "l": 1, "e": 0})
    client.xadd(keys.metrics, {"m": b"[1"})
    client.xadd(keys.control("aggregator"), {"k": b"\xff", "m": b"{"}, id="1-9")
    client.xadd(keys.data("collaborator-1", "aggregator"), {"h": b"[]"}, id="1-1")
    talk.log("aggregator", "fine")
    async with page() as one:
        await one.watch("talk")
        assert await one.lines(1) == ["fine"]


async def test_messages_that_make_no_sense_are_answered_and_the_page_goes_on(page, speakers):
    talk = speakers()
    talk.open()
    talk.log("aggregator", "fine")
    nonsense = ["", "{", "[]", '{"subscribe": "all"}', '{"subscribe": "task"}', '{"subscribe": "task", "task": "../x"}']
    async with page() as one:
        for text in nonsense:
            await one.socket.write_message(text)
            said = await one.until("error")
            assert said["message"], text
        await one.watch("talk", ["logs"])
        assert await one.lines(1) == ["fine"]


async def test_when_a_message_was_sent_and_taken_is_told_also_to_a_page_that_comes_back(api, page, speakers):
    talk = speakers()
    keys = talk.open()

    def send(number: int, at: float) -> None:
        header = Header("global", number, 0, "", {}, 1, checksum([b"x"]), at=at)
        fields = {"h": encode_header(header), "p": b"x"}
        talk.connection.client.xadd(keys.data("collaborator-1", "aggregator"), fields, id=f"7-{number}")

    def take(number: int, at: float) -> None:
        talk.control("collaborator-1", "progress", state="training", round=1, taken=[["aggregator", f"7-{number}", at]])

    send(1, at=1000.0)
    async with page() as one:
        await one.watch("talk", ["messages"])
        while not one.items["messages"]:
            await one.next()
        (message,) = one.items["messages"]
        assert (message["time"], message["late"], message["latency"]) == (1000.0, False, None)
        take(1, at=1000.25)
        assert await one.until("latencies") == [{"seq": 1, "message": 1, "latency": 0.25}]
    send(2, at=1001.0)
    take(2, at=1001.5)
    async with page() as two:
        await two.watch("talk", ["messages"], run=one.run, after={"messages": 1, "latencies": 1})
        while not two.items["messages"]:
            await two.next()
        (message,) = two.items["messages"]
        if message["latency"] is None:  # the receipt was read after it
            assert await two.until("latencies") == [{"seq": 2, "message": 2, "latency": 0.5}]
        assert two.seqs("messages") == [2]
        assert {item["message"] for item in two.items["latencies"]} <= {2}
    _, messages = await api("GET", "tasks/talk/messages")
    assert [m["latency"] for m in messages] == [0.25, 0.5]


# --------------------------------------------------------------------------------------------------------- the server


async def test_a_server_that_goes_and_comes_back_costs_one_message_and_no_line(page, tmp_path, monkeypatch):
    place = Path(os.environ["PLAYGROUND_RUNTIME"])
    with EmbeddedServer(place / "a") as first:
        monkeypatch.setenv("PLAYGROUND_REDIS_URL", first.url)
        talk = Speakers(first.url, "talk", ["aggregator", "collaborator-1"], tmp_path / "parties")
        talk.open()
        talk.log("aggregator", "before")
        async with page() as one:
            await one.say(subscribe="tasks")
            await one.watch("talk", ["logs", "parties"])
            await one.lines(1)
            run, keys = one.run, talk.keys
            meta = talk.connection.client.hgetall(keys.meta)
            url = first.url
            first.stop()
            said = await one.until("error", lambda frame: frame["task"] is None)
            assert "no server answers" in said["message"]
            await one.until("alive", lambda frame: frame["server"] is False)
            await asyncio.sleep(1.5)
            with EmbeddedServer(place / "a") as second:  # without its data, which the parties bring again
                assert second.url == url
                talk.connection.reconnect()
                client = talk.connection.client
                client.set("pg:{talk}:run", keys.run)
                client.hset(keys.meta, mapping=meta)
                talk.lines["aggregator"] = 0
                talk.log("aggregator", "before")
                talk.log("aggregator", "after")
                await one.until("alive", lambda frame: frame["server"] is True)
                assert await one.lines(2) == ["before", "after"]
                assert (one.run, one.seqs()) == (run, [1, 2])
                talk.leave()
                talk.connection.close()
        errors = [frame for frame in one.frames if frame["channel"] == "error"]
        assert len(errors) == 1


async def test_a_shared_server_that_a_kernel_starts_is_found_within_a_second_or_two(page, tmp_path):
    async with page() as one:
        await one.say(subscribe="tasks")
        assert await one.until("tasks") == []
        url = await asyncio.to_thread(shared_server)
        talk = Speakers(url, "talk", ["aggregator", "collaborator-1"], tmp_path / "parties")
        talk.open()
        began = time.monotonic()
        await one.until("tasks", lambda tasks: [task["task"] for task in tasks] == ["talk"])
        assert time.monotonic() - began < 5
        talk.leave()
        talk.connection.close()


async def test_nobody_is_connected_when_no_page_is_open(page, speakers, server, monkeypatch):
    monkeypatch.setattr("playground_ext.server.hub.LINGER", 0.1)
    talk = speakers()
    talk.open()

    def mine() -> int:
        clients = Connection(server.url).client.client_list()
        return sum(client["name"].startswith("playground-lab") for client in clients)

    async with page() as one, page() as two:
        for each in (one, two):
            await each.say(subscribe="tasks")
            await each.watch("talk")
            await each.until("parties")
        assert await asyncio.to_thread(mine) == 2  # the list, and one feed for both pages
    for _ in range(100):
        if await asyncio.to_thread(mine) == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("somebody is still connected")


# ------------------------------------------------------------------------------------------------------------- amounts


async def test_5000_lines_a_second_arrive_complete_and_the_server_still_answers(api, page, speakers):
    talk = speakers()
    talk.open()
    text = "x" * 80

    def speak() -> None:
        for start in range(0, 10_000, 250):  # every 50 ms, as parties do
            began = time.monotonic()
            talk.log("aggregator", *(f"{n} {text}" for n in range(start, start + 250)))
            time.sleep(max(0.0, 0.05 - (time.monotonic() - began)))

    async with page() as one:
        await one.watch("talk", ["logs"])
        await one.until("alive")
        speaking = asyncio.create_task(asyncio.to_thread(speak))
        reading = asyncio.create_task(one.lines(10_000, timeout=60))
        answers = []
        while not speaking.done():
            began = time.monotonic()
            await api("GET", "tasks")
            answers.append(time.monotonic() - began)
            await asyncio.sleep(0.2)
        await speaking
        texts = await reading
        assert [int(line.split()[0]) for line in texts] == list(range(10_000))
        assert sorted(answers)[len(answers) // 2] < 1.0
        frames = [frame for frame in one.frames if frame["channel"] == "logs"]
        assert len(frames) < 100  # batches, not lines


async def test_a_page_that_does_not_read_is_let_go_and_the_others_go_on(
    jp_serverapp, jp_http_port, jp_auth_header, page, speakers, monkeypatch
):
    monkeypatch.setattr(live, "SLOW", 1.0)
    talk = speakers()
    talk.open()
    hub: Hub = jp_serverapp.web_app.settings["playground_hub"]
    request = (
        "GET /user/alice/playground/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    )
    request += f"Authorization: {jp_auth_header['Authorization']}\r\n"
    request += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    wish = json.dumps({"subscribe": "task", "task": "talk", "channels": ["logs"]}).encode()
    async with page() as one:
        await one.watch("talk", ["logs"])
        talk.log("aggregator", "0")
        await one.lines(1)
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # it does not grow then
        small.connect(("127.0.0.1", jp_http_port))
        reader, writer = await asyncio.open_connection(sock=small, limit=1024)
        writer.write(request.encode() + bytes([0x81, 0x80 | len(wish), 0, 0, 0, 0]) + wish)
        await writer.drain()
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert len(hub._watchers) == 2
        for _ in range(12):  # 6 MB: more than the sockets' buffers hold
            await asyncio.to_thread(talk.log, "aggregator", *("x" * 1000 for _ in range(500)))
        await one.lines(6_001, timeout=60)
        for _ in range(500):
            if len(hub._watchers) == 1:
                break
            await asyncio.sleep(0.02)
        assert len(hub._watchers) == 1
        talk.log("aggregator", "after that")
        assert (await one.lines(6_002))[-1] == "after that"
        writer.transport.abort()
        await asyncio.sleep(0.05)
