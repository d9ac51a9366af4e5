"""The relay: two real ends joined in memory, so each test checks both."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tfd.protocol.channel import MAX_FRAME, OPENING_SIZE
from tfd.protocol.errors import UsageError
from tfd.protocol.records import pack, unpack
from tfd.protocol.relay import LAST_STATES, TRANSITIONS, Input, Relay, RelayState, Replay, State

KEY = bytes(range(32))
TICKET = bytes(16)
CIPHER = "chacha20poly1305"
SUSPENDED = frozenset(State) - LAST_STATES | {State.FINISHED}


def take(chunks: list[bytes | memoryview]) -> bytes:
    """Take all bytes out of a relay's output, as a socket without limits would."""
    data = b"".join(chunks)
    chunks.clear()
    return data


class Pair:
    """Both ends of one relayed connection, and the wire between them."""

    def __init__(self, greeting: bytes = b"", replay: Replay | None = None) -> None:
        self.opener = Relay.open(TICKET, KEY, CIPHER, greeting, replay or Replay())
        self.location = Relay.answer(KEY, CIPHER)
        assert take(self.opener.to_channel[:1]) == b"TFC1" + TICKET
        self.opener.channel_sent(OPENING_SIZE)

    def carry(self) -> None:
        """Bring everything that waits for the channel to the other end."""
        self.location.channel_received(take(self.opener.to_channel))
        self.opener.channel_received(take(self.location.to_channel))


def handed_over(relay: Relay) -> Relay:
    """Give what another process makes of a relay's state."""
    return Relay.resume(unpack(RelayState, pack(relay.suspend())))


def opened(greeting: bytes = b"") -> Pair:
    """A pair whose location has answered."""
    pair = Pair(greeting)
    pair.location.opened()
    pair.carry()
    return pair


def test_bytes_pass_both_ways() -> None:
    """What one plain side gives, the other one gets."""
    pair = opened(greeting=b"PROXY ")
    pair.opener.plain_received(b"request")
    pair.location.plain_received(b"answer")
    pair.carry()

    assert take(pair.location.to_plain) == b"PROXY request"
    assert take(pair.opener.to_plain) == b"answer"


def test_the_first_bytes_do_not_wait_for_the_answer() -> None:
    """The opener sends one read ahead, and then waits."""
    pair = Pair()
    wanted = [pair.opener.wants_plain]
    pair.opener.plain_received(b"ahead")
    take(pair.opener.to_channel)
    wanted.append(pair.opener.wants_plain)

    assert wanted == [True, False]
    assert pair.opener.replay == Replay(b"ahead")


def test_what_was_said_before_the_opening_left_goes_along() -> None:
    """One read, while the opening is still to be sent; the location finds both in one piece."""
    opener = Relay.open(TICKET, KEY, CIPHER, b"greeting ")
    assert (opener.takes_ahead, opener.wants_plain) == (True, False)
    opener.plain_received(b"request")
    assert not opener.takes_ahead
    sent = b"".join(opener.to_channel)
    opener.channel_sent(len(sent))
    location = Relay.answer(KEY, CIPHER)
    assert not location.takes_ahead
    location.channel_received(sent[OPENING_SIZE:])

    assert b"".join(location.to_plain) == b"greeting request"
    assert not opener.wants_plain


def test_after_a_refusal_the_next_try_has_every_byte() -> None:
    """What was sent ahead, and the end that followed it, is given to the next ticket's channel."""
    pair = Pair()
    pair.opener.plain_received(b"ahead")
    pair.opener.plain_ended()
    pair.location.refused("it is starting")
    pair.carry()
    assert (pair.opener.state, pair.opener.reason) == (State.REFUSED, "it is starting")

    again = Pair(b"PROXY ", pair.opener.replay)
    again.carry()
    again.location.opened()
    again.carry()
    assert take(again.location.to_plain) == b"PROXY ahead"
    assert again.location.must_shut_plain
    assert again.opener.state is State.PLAIN_ENDED


def test_a_channel_lost_before_the_answer_may_be_tried_again() -> None:
    """A channel that ends without an answer leaves the opener with all that it needs for another try."""
    pair = Pair()
    pair.opener.plain_received(b"ahead")
    pair.opener.channel_lost("gone")

    assert pair.opener.state is State.UNANSWERED
    assert not pair.opener.must_reset_plain
    assert pair.opener.replay == Replay(b"ahead")


@pytest.mark.parametrize("first", ["opener", "location"])
def test_each_side_may_end_first(first: str) -> None:
    """After one end the other direction goes on; after both the connection can be used again."""
    pair = opened()
    early, late = (pair.opener, pair.location) if first == "opener" else (pair.location, pair.opener)
    early.plain_ended()
    pair.carry()
    assert late.must_shut_plain
    late.plain_was_shut()
    late.plain_received(b"more")
    late.plain_ended()
    pair.carry()
    pair.carry()
    assert take(early.to_plain) == b"more"
    assert early.must_shut_plain
    early.plain_was_shut()

    assert early.reusable
    assert late.reusable


def test_the_end_waits_for_the_bytes_before_it() -> None:
    """The plain side is not shut down while it still has to be given bytes."""
    pair = opened()
    pair.opener.plain_received(b"last words")
    pair.opener.plain_ended()
    pair.carry()
    assert not pair.location.must_shut_plain
    pair.location.plain_sent(4)
    assert take(pair.location.to_plain) == b" words"

    assert pair.location.must_shut_plain


@pytest.mark.parametrize("first", ["opener", "location"])
def test_a_reset_stays_a_reset(first: str) -> None:
    """A reset of one plain side must reset the other one."""
    pair = opened()
    from_end, to_end = (pair.opener, pair.location) if first == "opener" else (pair.location, pair.opener)
    from_end.plain_reset()
    assert from_end.state is State.RESETTING
    pair.carry()

    assert from_end.done
    assert to_end.must_reset_plain


def test_a_truncated_channel_is_a_reset() -> None:
    """The channel's end without an END frame is never taken for an end of stream."""
    pair = opened()
    pair.location.channel_lost("the connection ended")

    assert pair.location.must_reset_plain


def test_a_forged_frame_is_a_reset() -> None:
    """Bytes that are no frame end the channel, and the plain side by a reset."""
    pair = opened()
    pair.location.channel_received(b"\x00\x00\x00\x11" + bytes(17))

    assert pair.location.must_reset_plain
    assert "not what the peer sealed" in pair.location.reason


def test_neither_side_is_read_while_the_other_is_full() -> None:
    """Back-pressure: output that waits stops its input."""
    pair = opened()
    wanted = [pair.opener.wants_plain]
    pair.opener.plain_received(b"x")
    wanted.append(pair.opener.wants_plain)
    pair.carry()
    wanted += [pair.opener.wants_plain, pair.location.wants_channel]
    take(pair.location.to_plain)
    wanted.append(pair.location.wants_channel)

    assert wanted == [True, False, True, False, True]


def test_a_hostile_reason_is_one_printable_line() -> None:
    """What a location gives as a reason cannot write log lines of its own."""
    pair = Pair()
    pair.location.refused("no\nINFO all is well\x1b[2J")
    pair.carry()

    assert pair.opener.reason == "no?INFO all is well?[2J"


def test_a_callers_mistake_is_told() -> None:
    """An input that cannot come now raises UsageError."""
    pair = opened()
    pair.opener.plain_ended()
    with pytest.raises(UsageError):
        pair.opener.plain_ended()


def test_the_table_leads_from_the_first_state_to_all_and_has_last_states() -> None:
    """Every state is reached, and nothing leads out of the last ones."""
    reached = {State.OPENING}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)
    assert {before for before, _ in TRANSITIONS} == set(State) - LAST_STATES
    assert {what for _, what in TRANSITIONS} == set(Input)


class Relaying(RuleBasedStateMachine):
    """Two ends, a wire that delivers any number of bytes, and plain sides that do as they like."""

    @initialize(greeting=st.sampled_from([b"", b"PROXY\r\n"]), early=st.booleans())
    def begin(self, greeting: bytes, early: bool) -> None:
        """Begin a connection, answered at once or later."""
        self.pair = Pair(greeting)
        self.ends = {"opener": self.pair.opener, "location": self.pair.location}
        self.given = {"opener": greeting, "location": b""}
        self.got = {"opener": b"", "location": b""}
        self.ended = {"opener": False, "location": False}
        self.reset = False
        if early:
            self.answer()

    @precondition(lambda self: self.pair.location.is_opening)
    @rule()
    def answer(self) -> None:
        """The container's port accepts."""
        self.pair.location.opened()

    @rule(name=st.sampled_from(["opener", "location"]), data=st.binary(min_size=1, max_size=40))
    def plain_gives(self, name: str, data: bytes) -> None:
        """A plain side sends, when it is read."""
        end = self.ends[name]
        if end.wants_plain and not self.ended[name]:
            end.plain_received(data)
            self.given[name] += data

    @rule(name=st.sampled_from(["opener", "location"]))
    def plain_ends(self, name: str) -> None:
        """A plain side ends, when it is read."""
        end = self.ends[name]
        if end.wants_plain and not self.ended[name]:
            end.plain_ended()
            self.ended[name] = True

    @rule(name=st.sampled_from(["opener", "location"]))
    def plain_resets(self, name: str) -> None:
        """A plain side is reset."""
        end = self.ends[name]
        if not end.is_opening and end.state not in LAST_STATES:
            end.plain_reset()
            self.reset = True

    @rule(name=st.sampled_from(["opener", "location"]))
    def is_handed_over(self, name: str) -> None:
        """Another process goes on with one end."""
        if self.ends[name].state in SUSPENDED:
            self.ends[name] = handed_over(self.ends[name])
            setattr(self.pair, name, self.ends[name])

    @rule(name=st.sampled_from(["opener", "location"]), count=st.integers(1, 200))
    def wire_delivers(self, name: str, count: int) -> None:
        """Some bytes go from one end to the other."""
        sender = self.ends[name]
        receiver = self.ends["location" if name == "opener" else "opener"]
        if receiver.wants_channel:
            data = b"".join(sender.to_channel)[:count]
            sender.channel_sent(len(data))
            receiver.channel_received(data)

    @rule(name=st.sampled_from(["opener", "location"]), count=st.integers(1, 50))
    def plain_takes(self, name: str, count: int) -> None:
        """A plain side takes some bytes."""
        end = self.ends[name]
        data = b"".join(end.to_plain)[:count]
        end.plain_sent(len(data))
        self.got["location" if name == "opener" else "opener"] += data
        if end.must_shut_plain:
            end.plain_was_shut()

    @invariant()
    def nothing_is_changed_or_lost(self) -> None:
        """What arrived is the beginning of what was given; after both ends it is all of it."""
        if not hasattr(self, "pair"):
            return
        for name in ("opener", "location"):
            assert self.given[name].startswith(self.got[name])
        if all(end.done and end.state is State.FINISHED for end in self.ends.values()):
            assert self.got == self.given
            assert not self.reset

    @invariant()
    def memory_is_bounded(self) -> None:
        """Neither end ever holds more than a few frames."""
        if hasattr(self, "pair"):
            for end in self.ends.values():
                held = sum(len(chunk) for chunk in [*end.to_plain, *end.to_channel])
                assert held <= 3 * MAX_FRAME


TestRelaying = Relaying.TestCase
TestRelaying.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@given(data=st.lists(st.binary(max_size=60), max_size=8), as_opener=st.booleans())
def test_random_bytes_never_raise(data: list[bytes], as_opener: bool) -> None:
    """Whatever comes over the channel, the relay takes it and stays in a state of its table."""
    relay = Relay.open(TICKET, KEY, CIPHER) if as_opener else Relay.answer(KEY, CIPHER)
    for piece in data:
        relay.channel_received(piece)
    assert relay.state in State
    assert not relay.to_plain
