"""A connection at every stage of a request on the fast path: what comes behind it, a client that goes, a server that
stops. Over a transport that notes what it is told, with a lane that answers when a test tells it to."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from app.api.fast_path import wire
from app.api.fast_path.question import Question
from app.api.receiving import PERMIT
from app.ml.inference import admission
from app.ml.inference.admission import Permit, Permits

STAGES = [wire.Coming, wire.InLine, Question]


def request(content: bytes, path: bytes = b"/lane") -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path, len(content), content)


class Client(asyncio.Transport):
    """What the server writes to, and what it is told of its client."""

    def __init__(self) -> None:
        super().__init__()
        self.got = b""
        self.closing, self.reading = False, True
        self.server: wire.Gathering

    def write(self, data: Any) -> None:
        assert not self.closing
        self.got += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.server.connection_lost, None)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def end(self) -> None:
        """No more will be sent: the loop's transports ask, and close themselves."""
        keep = cast(asyncio.Protocol, self.server).eof_received()
        if not keep:
            self.close()

    def abort(self) -> None:
        self.closing = True
        self.server.connection_lost(ConnectionResetError())


class Lane:
    """Takes what is asked at /lane, and answers with what it was asked; leaves what is odd to the server."""

    def __init__(self) -> None:
        self.permits = Permits(1)
        self.asked: list[Question] = []

    def head(self, data: bytes, last: Any) -> Any:
        end = data.find(b"\r\n\r\n") + 4
        if not data.startswith(b"POST /lane ") or end < 4:
            return None
        return SimpleNamespace(size=end + int(data[:end].rpartition(b": ")[2]))

    def must_wait(self, head: Any) -> bool:
        return self.permits.full

    def line_up(self, head: Any, waiter: Any) -> Any:
        return self.permits.line_up(waiter, head.size)

    def take(self, head: Any, data: bytes, asker: Any, waited: float = 0.0) -> Question | None:
        if b"odd" in data:
            return None
        self.permits.take()
        self.asked.append(Question(asker, data, None, 1, 1, waited, 0.0))
        return self.asked[-1]

    def refuse(self, head: Any, asker: Any, waited: float) -> None:
        asker.respond(asker.opening(429, b""), b"id", b"refused")

    def permit(self, waited: float) -> Permit:
        permit = Permit(self.permits)
        permit.admitted(waited)
        return permit

    def answer(self) -> None:
        """The first question."""
        question = self.asked.pop(0)
        self.permits.give_back()
        if not question.gone:
            content = question.data.partition(b"\r\n\r\n")[2]
            question.asker.respond(question.asker.opening(200, b""), b"id", b"lane: " + content)


class Application:
    """The slow path."""

    def __init__(self) -> None:
        self.lane = Lane()
        self.permitted: list[bool] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        permit = scope["state"].get(PERMIT)
        self.permitted.append(permit is not None)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        content = b"server: " + body
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        if permit is not None:
            with permit:
                pass


class Story:
    """A client, the server's end of its connection, and the lane."""

    def __init__(self) -> None:
        app = Application()
        config = Config(cast(Any, app), http=wire.Gathering, ws="none", lifespan="off", log_config=None)
        config.load()
        config.loaded_app = app  # without uvicorn's layers
        self.app, self.lane, self.client = app, app.lane, Client()
        self.server = self.client.server = wire.Gathering(config, ServerState(), {}, asyncio.get_running_loop())
        self.server.connection_made(self.client)

    def begin(self, stage: type, content: bytes = b"first") -> None:
        """Brings a request to that stage."""
        asked = request(content)
        if stage is wire.InLine:
            self.lane.permits.take()
        self.server.data_received(asked[:-1] if stage is wire.Coming else asked)
        assert type(self.server.stage) is stage

    async def go_on(self, content: bytes = b"first") -> None:
        """Lets what has begun be answered, by the lane or by the server."""
        if isinstance(self.server.stage, wire.Coming):
            self.server.data_received(content[-1:])
        if isinstance(self.server.stage, wire.InLine):
            self.lane.permits.give_back()
        await settle()
        while self.lane.asked:
            self.lane.answer()
            await settle()

    @property
    def told(self) -> list[tuple[int, bytes]]:
        """Status and content of the answers that came."""
        answers = [part.partition(b"\r\n\r\n") for part in self.client.got.split(b"HTTP/1.1 ")[1:]]
        return [(int(head[:3]), content) for head, _, content in answers]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def played(story: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        await story(Story())

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait ends by itself, however slow the machine, unless a test says so."""
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(admission, "WAIT_SECONDS", 60.0)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("leave", [Client.end, Client.close, Client.abort])
def test_who_leaves_is_forgotten_at_every_stage(
    monkeypatch: pytest.MonkeyPatch, stage: type, leave: Callable[[Client], None]
) -> None:
    """Half a close is a whole one: who has gone for good looks the same."""
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 0.001)

    async def story(story: Story) -> None:
        story.begin(stage)
        leave(story.client)
        await settle()
        assert story.server.stage is None
        assert all(question.gone for question in story.lane.asked)
        if stage is wire.InLine:
            story.lane.permits.give_back()
        await settle()
        assert len(story.lane.asked) == (stage is Question), "nobody else is asked for it"
        while story.lane.asked:
            story.lane.answer()
        await asyncio.sleep(0.01 if stage is wire.Coming else 0)
        assert (story.client.got, story.lane.permits.taken, story.app.permitted) == (b"", 0, [])

    played(story)


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_stops_answers_first_at_every_stage(monkeypatch: pytest.MonkeyPatch, stage: type) -> None:
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.0)

    async def story(story: Story) -> None:
        story.begin(stage)
        story.server.shutdown()
        await asyncio.sleep(0.01)
        assert not story.client.is_closing()
        await story.go_on()
        assert story.told == [(200, b"lane: first")]
        assert b"\r\nconnection: close\r\n" in story.client.got
        assert story.client.is_closing()

    played(story)


def test_a_server_that_stops_closes_what_is_idle_and_refuses_as_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.005)

    async def idle(story: Story) -> None:
        story.server.shutdown()
        await asyncio.sleep(0.01)
        assert (story.client.is_closing(), story.client.got) == (True, b"")

    async def refused(story: Story) -> None:
        story.begin(wire.InLine)
        story.server.shutdown()
        await asyncio.sleep(0.05)
        assert story.told == [(429, b"refused")]
        assert story.client.is_closing()

    played(idle)
    played(refused)


@pytest.mark.parametrize("late", [False, True])
def test_a_server_that_stops_answers_what_its_own_parser_reads(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """A request of the slow path, or one whose body is `late` and ends there after the server was told to stop."""
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 0.001)

    async def story(story: Story) -> None:
        asked = request(b"first", b"/lane" if late else b"/elsewhere")
        story.server.data_received(asked[:-1])
        assert isinstance(story.server.stage, wire.Coming) == late
        story.server.shutdown()
        await asyncio.sleep(0.02)
        assert not story.client.is_closing()
        story.server.data_received(asked[-1:])
        await settle()
        assert story.told == [(200, b"server: first")]
        assert story.client.is_closing()

    played(story)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("behind", [b"/lane", b"/elsewhere"])
def test_what_comes_behind_is_answered_afterwards(stage: type, behind: bytes) -> None:
    async def story(story: Story) -> None:
        story.begin(stage)
        rest = b"t" if stage is wire.Coming else b""
        asked = rest + request(b"second", behind) + request(b"third")
        for first in range(0, len(asked), 50):
            story.server.data_received(asked[first : first + 50])
            await settle()
            assert story.told == [] or stage is wire.Coming
        await story.go_on()
        assert [content.partition(b": ")[2] for _, content in story.told] == [b"first", b"second", b"third"]
        assert (story.server.stage, story.lane.permits.taken) == (None, 0)

    played(story)


@pytest.mark.parametrize("stage", [wire.InLine, Question])
def test_a_client_that_sends_on_and_on_is_not_read_until_it_is_answered(stage: type) -> None:
    async def story(story: Story) -> None:
        story.begin(stage)
        behind = request(bytes(wire.MOST_BEHIND))
        story.server.data_received(behind[:-200])
        assert story.client.is_reading()
        story.server.data_received(behind[-200:])
        assert not story.client.is_reading()
        await story.go_on()
        assert story.client.is_reading()
        assert [len(content) for _, content in story.told] == [11, 6 + wire.MOST_BEHIND]

    played(story)


def test_what_waited_and_is_odd_keeps_its_permit_on_the_careful_way() -> None:
    """And it alone: what came behind it has none yet."""

    async def story(story: Story) -> None:
        story.begin(wire.InLine, b"odd")
        story.server.data_received(request(b"second"))
        await story.go_on()
        assert story.told == [(200, b"server: odd"), (200, b"server: second")]
        assert story.app.permitted == [True, False]
        assert story.lane.permits.taken == 0
        story.begin(Question)
        await story.go_on()
        assert story.told[2:] == [(200, b"lane: first")]

    played(story)


def test_a_body_that_is_late_is_the_servers_and_the_next_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 0.001)

    async def story(story: Story) -> None:
        story.begin(wire.Coming)
        await asyncio.sleep(0.02)
        story.server.data_received(b"t")
        await settle()
        story.begin(Question, b"second")
        await story.go_on()
        assert story.told == [(200, b"server: first"), (200, b"lane: second")]

    played(story)


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_is_idle_only_between_requests(stage: type) -> None:
    async def story(story: Story) -> None:
        story.server.timeout_keep_alive = 0
        story.begin(stage)
        story.server.timeout_keep_alive_handler()
        assert not story.client.is_closing()
        await story.go_on()
        assert story.told == [(200, b"lane: first")]
        story.server.timeout_keep_alive_handler()
        assert story.client.is_closing()

    played(story)
