"""Users' own algorithms on contractor and data channel: no scheduler, no roles, one process per party."""

from __future__ import annotations

MESSAGES = """
from dataclasses import dataclass
from alphafed import mock_context, mock_nodes
from alphafed.contractor import ContractEvent, TaskMessageContractor, TaskMessageEventFactory

@dataclass
class Bid(ContractEvent):
    TYPE = 'bid'
    bidder: str
    price: int
    @classmethod
    def contract_to_event(cls, contract):
        assert contract.get('type') == cls.TYPE
        assert isinstance(contract['price'], int), 'a price is a number'
        return Bid(bidder=contract['bidder'], price=contract['price'])

@dataclass
class Sold(ContractEvent):
    TYPE = 'sold'
    to: str
    seal: bytes

class Types(TaskMessageEventFactory):
    _CLASS_MAP = {Bid.TYPE: Bid, Sold.TYPE: Sold, **TaskMessageEventFactory._CLASS_MAP}

class Auction(TaskMessageContractor):
    def __init__(self, task_id):
        super().__init__(task_id=task_id)
        self._event_factory = Types
    def bid(self, bidder, price):
        return self._new_contract(targets=self.EVERYONE, event=Bid(bidder, price))
    def sell(self, to):
        return self._new_contract(targets=[to], event=Sold(to, b'\\x00\\xff'))
"""

AUCTION = (
    MESSAGES
    + """
prices = {'ann': 3, 'ben': 8, 'cem': 5}
contractor = Auction('auction')
with mock_context(id=ME, nodes=NODES):
    contractor.bid(ME, prices[ME])
    bids = {}
    for event in contractor.contract_events():
        if isinstance(event, Bid):
            bids[event.bidder] = event.price
        if len(bids) == 3:
            break
    best = max(bids, key=bids.get)
    if ME == 'ann':  # the auctioneer, which nobody had to be told
        contractor.sell(best)
    if ME == best:
        for event in contractor.contract_events(timeout=30):
            print('sold to', event.to, event.seal)
            break
    print('nodes', sorted(contractor.query_nodes()), mock_nodes() == NODES)
"""
)


def as_party(script: str, me: str, nodes: list[str]) -> str:
    return f"ME, NODES = {me!r}, {nodes!r}\n" + script


def test_an_algorithm_of_messages_needs_neither_roles_nor_the_same_order_of_nodes(play):
    orders = {"ann": ["ann", "ben", "cem"], "ben": ["cem", "ben", "ann"], "cem": ["ben", "ann", "cem"]}

    outcomes = play({party: as_party(AUCTION, party, nodes) for party, nodes in orders.items()})

    # ben bids most, and only ben is told
    assert [party for party in orders if "sold to ben b'\\x00\\xff'" in outcomes[party].out] == ["ben"]
    for outcome in outcomes.values():
        assert "nodes ['ann', 'ben', 'cem'] True" in outcome.out


EXCHANGE = """
import hashlib
from alphafed import mock_context
from alphafed.contractor import ContractEvent, TaskMessageContractor
from alphafed.data_channel import GRPCDataChannel, SharedFileDataChannel

contractor = TaskMessageContractor(task_id='exchange')
channel = (SharedFileDataChannel if ME == 'left' else GRPCDataChannel)(contractor=contractor)
other = {'left': 'right', 'right': 'left'}[ME]
with mock_context(id=ME, nodes=NODES):
    for number in range(3):  # both send before either receives
        data = bytes([number]) * 5_000_000 + ME.encode()
        assert channel.send_stream(source=ME, target=other, data_stream=data) == other
        source, received = channel.receive_stream(receiver=ME, source=other)
        assert source == other and received == bytes([number]) * 5_000_000 + other.encode(), len(received)
    data = ME.encode()
    reached = channel.batch_send_stream(source=ME, target=['third', other], data_stream=data, ensure_all_succ=True)
    print('reached', reached)
    sources = {'left': ['third', 'right'], 'right': ['left', 'third']}[ME]
    print('batch', channel.batch_receive_stream(receiver=ME, source_list=sources, ensure_all_succ=True))
"""

THIRD = """
from alphafed import mock_context
from alphafed.contractor import TaskMessageContractor
from alphafed.data_channel import SharedFileDataChannel
channel = SharedFileDataChannel(TaskMessageContractor(task_id='exchange'))
with mock_context(id=ME, nodes=NODES):
    print(channel.batch_receive_stream(ME, ['right', 'left'], timeout=60))
    channel.batch_send_stream(ME, ['left', 'right'], b'third')
"""


def test_two_parties_may_send_to_each_other_at_once(play):
    nodes = ["left", "right", "third"]
    scripts = {"left": EXCHANGE, "right": EXCHANGE, "third": THIRD}

    outcomes = play({party: as_party(script, party, nodes) for party, script in scripts.items()})

    assert "reached ['third', 'right']" in outcomes["left"].out
    assert "batch {'third': b'third', 'right': b'right'}" in outcomes["left"].out
    assert "batch {'left': b'left', 'third': b'third'}" in outcomes["right"].out
    assert "{'right': b'right', 'left': b'left'}" in outcomes["third"].out


def test_two_tasks_of_one_notebook_do_not_take_each_others_messages(play):
    """AlphaMed's mock mode has one cursor for all tasks: reading in one task passes over what came in the others."""
    both = """
from alphafed.data_channel import SharedFileDataChannel
tasks = {name: Auction(name) for name in ('blue', 'red')}
"""
    sender = """
with mock_context(id=ME, nodes=NODES):
    for price in (1, 2):
        for name, contractor in tasks.items():
            contractor.bid(f'{name} {price}', price)
    for name, contractor in tasks.items():
        SharedFileDataChannel(contractor).send_stream(ME, 'ben', name.encode())
"""
    receiver = """
with mock_context(id=ME, nodes=NODES):
    for name in ('red', 'blue'):  # what was said last before what was said first
        events = tasks[name].contract_events(timeout=20)
        print([next(events).bidder for _ in range(2)])
    for name in ('red', 'blue'):
        print(SharedFileDataChannel(tasks[name]).receive_stream(ME, 'ann'))
"""
    nodes = ["ann", "ben"]

    outcomes = play(
        {
            "ann": as_party(MESSAGES + both + sender, "ann", nodes),
            "ben": as_party(MESSAGES + both + receiver, "ben", nodes),
        }
    )

    assert outcomes["ben"].out.splitlines() == [
        "['red 1', 'red 2']",
        "['blue 1', 'blue 2']",
        "('ann', b'red')",
        "('ann', b'blue')",
    ]
    # both leave two tasks, in different orders: neither waits for the other's goodbye in the second one
    assert "left without the last log lines" not in outcomes["ann"].err + outcomes["ben"].err


def test_nobody_waits_for_a_poll(play):
    """AlphaMed looks for messages once a second: 20 questions, their answers and as much data would take a minute."""
    common = """
import time
from alphafed.data_channel import SharedFileDataChannel
contractor = Auction('quick')
channel = SharedFileDataChannel(contractor)
"""
    asks = """
with mock_context(id=ME, nodes=NODES):
    channel.receive_stream(ME, 'ben')  # ben is there
    began = time.monotonic()
    for number in range(20):
        contractor._new_contract(['ben'], Bid(ME, number))
        assert next(contractor.contract_events(timeout=20)).price == number
        assert channel.receive_stream(ME, 'ben', timeout=20) == ('ben', bytes([number]))
    print(time.monotonic() - began)
"""
    answers = """
with mock_context(id=ME, nodes=NODES):
    channel.send_stream(ME, 'ann', b'here')
    for number in range(20):
        bid = next(contractor.contract_events(timeout=60))
        contractor._new_contract(['ann'], Bid(ME, bid.price))
        channel.send_stream(ME, 'ann', bytes([bid.price]))
"""
    nodes = ["ann", "ben"]

    outcomes = play(
        {
            "ann": as_party(MESSAGES + common + asks, "ann", nodes),
            "ben": as_party(MESSAGES + common + answers, "ben", nodes),
        }
    )

    assert float(outcomes["ann"].out) < 10  # 60 times at most a second; here it is a few milliseconds each


def test_messages_that_come_while_data_is_awaited_are_handled_or_kept(play):
    sender = """
contractor = Auction('both')
from alphafed.data_channel import SharedFileDataChannel
with mock_context(id=ME, nodes=NODES):
    contractor.bid(ME, 1)
    SharedFileDataChannel(contractor).send_stream(ME, 'ben', b'first')
    contractor.bid(ME, 2)
    SharedFileDataChannel(contractor).send_stream(ME, 'ben', b'second')
"""
    receiver = """
contractor = Auction('both')
from alphafed.data_channel import SharedFileDataChannel
handled = []
with mock_context(id=ME, nodes=NODES):
    channel = SharedFileDataChannel(contractor)
    print(channel.receive_stream(ME, 'ann'))  # without a handler the message waits
    print([event.price for event in [next(contractor.contract_events(timeout=10))]])
    print(channel.receive_stream(ME, 'ann', complementary_handler=handled.append))
    print(handled)
"""
    nodes = ["ann", "ben"]

    outcomes = play(
        {"ann": as_party(MESSAGES + sender, "ann", nodes), "ben": as_party(MESSAGES + receiver, "ben", nodes)}
    )

    lines = outcomes["ben"].out.splitlines()
    assert lines == ["('ann', b'first')", "[1]", "('ann', b'second')", "[Bid(bidder='ann', price=2)]"]


def test_what_was_said_waits_for_a_party_that_comes_late_and_for_no_other_run(play):
    said = (
        MESSAGES
        + """
contractor = Auction('late')
with mock_context(id=ME, nodes=NODES):
    contractor.bid(ME, PRICE)
"""
    )
    heard = (
        MESSAGES
        + """
contractor = Auction('late')
with mock_context(id=ME, nodes=NODES):
    print([event.price for event in contractor.contract_events(timeout=2)])
"""
    )
    nodes = ["ann", "ben"]

    play({"ann": as_party(said, "ann", nodes).replace("PRICE", "1")})  # has left before ben comes
    first = play({"ben": as_party(heard, "ben", nodes)})
    play({"ann": as_party(said, "ann", nodes).replace("PRICE", "2")})  # a new run: ann has been in that one
    second = play({"ben": as_party(heard, "ben", nodes)})

    assert "[1]" in first["ben"].out
    assert "[2]" in second["ben"].out


def test_a_party_that_fails_is_shown_to_those_who_wait_for_it(play):
    fails = MESSAGES + "contractor = Auction('broken')\nwith mock_context(id=ME, nodes=NODES):\n"
    fails += "    contractor.bid(ME, 1)\n    raise ValueError('no more money')\n"
    waits = MESSAGES + "contractor = Auction('broken')\nwith mock_context(id=ME, nodes=NODES):\n"
    waits += "    for event in contractor.contract_events():\n        print(event)\n"
    nodes = ["ann", "ben"]

    outcomes = play({"ann": as_party(fails, "ann", nodes), "ben": as_party(waits, "ben", nodes)}, fails=True)

    assert outcomes["ann"].code == outcomes["ben"].code == 1
    assert "PartyFailed: ann failed" in outcomes["ben"].err
    assert "ValueError: no more money" in outcomes["ben"].err


def test_a_party_that_failed_before_another_came_is_shown_to_that_one_too(play, tmp_path):
    flag = tmp_path / "ann has failed"
    fails = MESSAGES + "contractor = Auction('early')\ntry:\n    with mock_context(id=ME, nodes=NODES):\n"
    fails += "        contractor.bid(ME, 1)\n        raise ValueError('no more money')\nfinally:\n"
    fails += f"    open({str(flag)!r}, 'w').close()\n"
    waits = MESSAGES + f"import os, time\nwhile not os.path.exists({str(flag)!r}): time.sleep(0.05)\n"
    waits += "contractor = Auction('early')\nwith mock_context(id=ME, nodes=NODES):\n"
    waits += "    for event in contractor.contract_events():\n        print(event)\n"
    nodes = ["ann", "ben"]

    outcomes = play({"ann": as_party(fails, "ann", nodes), "ben": as_party(waits, "ben", nodes)}, fails=True)

    assert outcomes["ben"].code == 1
    assert "PartyFailed: ann failed" in outcomes["ben"].err
    assert "ValueError: no more money" in outcomes["ben"].err


def test_a_wait_that_nobody_can_end_is_ended_by_name(play):
    waits = MESSAGES + "contractor = Auction('alone')\nwith mock_context(id=ME, nodes=NODES):\n"
    waits += "    contractor.bid(ME, 1)\n    for event in contractor.contract_events():\n        print(event.bidder)\n"
    leaves = MESSAGES + "contractor = Auction('alone')\nwith mock_context(id=ME, nodes=NODES):\n"
    leaves += "    contractor.bid(ME, 2)\n    for event in contractor.contract_events(timeout=1): pass\n"
    nodes = ["ann", "ben", "cem"]

    outcomes = play(
        {"ann": as_party(waits, "ann", nodes), "ben": as_party(leaves, "ben", nodes)},
        fails=True,
        PLAYGROUND_CHECK_IN_TIMEOUT="3",
    )

    assert outcomes["ann"].out.split() == ["ann", "ben"]  # its own message comes too, as with AlphaMed
    assert "a message is awaited, but ben has left, cem did not come within 3 s" in outcomes["ann"].err
    assert outcomes["ben"].code == 0


WRONG = {
    "channel.send_stream('ann', 'cem', b'x', connection_timeout=1)": "cem did not join task wrong within 1 s",
    "channel.send_stream('ann', 'zoe', b'x')": "zoe is not a party of task wrong: ann, ben, cem",
    "channel.send_stream('ben', 'ann', b'x')": "source='ben', but this notebook is ann",
    "channel.send_stream('ann', 'ann', 'text')": "data_stream is str",
    "channel.receive_stream('ann', 'cem', timeout=1)": "cem sent no data within 1 s",
    "contractor._new_contract(['zoe'], Bid('ann', 1))": "zoe is not a party",
    "contractor._new_contract(['ben'], Bid('ann', {1, object()}))": "Bid cannot be written as JSON",
    "contractor._new_contract(['ben'], 'text')": "'text' is no ContractEvent",
}


def test_what_cannot_be_sent_or_received_is_said_in_words(play):
    script = (
        MESSAGES
        + f"""
from alphafed.data_channel import SharedFileDataChannel
contractor = Auction('wrong')
channel = SharedFileDataChannel(contractor)
with mock_context(id='ann', nodes=['ann', 'ben', 'cem']):
    for call in {list(WRONG)!r}:
        try:
            eval(call)
        except Exception as error:
            print(call, '->', str(error).replace(chr(10), ' '))
"""
    )

    said = dict(line.split(" -> ", 1) for line in play({"ann": script})["ann"].out.splitlines())

    assert [call for call, words in WRONG.items() if words not in said.get(call, "")] == []


def test_events_nobody_can_read_are_in_the_log_and_left_out(play):
    script = (
        MESSAGES
        + """
contractor = Auction('odd')
with mock_context(id='ann', nodes=['ann', 'ben']):
    contractor.talk.post(['ann'], {'type': 'unheard of'})
    contractor.talk.post(['ann'], {'type': 'bid', 'bidder': 'ann', 'price': 'high'})
    contractor.bid('ann', 4)
    print(next(contractor.contract_events(timeout=5)).price)
"""
    )

    outcome = play({"ann": script})["ann"]

    assert outcome.out.split() == ["4"]
    assert "Types knows no message of type 'unheard of'" in outcome.err
    assert "Bid refuses a message: a price is a number" in outcome.err
