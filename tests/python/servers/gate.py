"""A gate before a server: requests wait in it, and pass together once no more of them can come.

No more can come when the client has as many under way as it ever has, or sends nothing for a while though all it asked
for before is answered.  So every request that needs an earlier answer passes later than that, and every one that does not
passes with it: the number of times that the gate opens is the number of round trips a client needs one after the other,
whatever else the machine has to do.
"""

import asyncio
import threading
import time

STILL = 0.25  # seconds without a request after which a client waits for answers; one on a busy machine takes 50 ms


class Gate:
    """A running gate."""

    def __init__(self, server, at_once=64):
        self.server = server
        self.at_once = at_once
        self.waves = []
        self.held = {}
        self.passed = 0
        self.changed = time.monotonic()
        self.port = None
        self.listener = self.opener = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.begin(), self.loop).result(10)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    @property
    def endpoint(self):
        """Its URL."""
        return "http://127.0.0.1:%d" % self.port

    def reset(self):
        """Counts from here on."""
        self.waves = []

    def quiet(self):
        """Waits until nothing is under way."""
        deadline = time.monotonic() + 20
        while self.held or self.passed or time.monotonic() - self.changed < 2 * STILL:
            assert time.monotonic() < deadline, "requests go on"
            time.sleep(STILL / 5)

    async def begin(self):
        """Listens."""
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = self.listener.sockets[0].getsockname()[1]
        self.opener = asyncio.ensure_future(self.open())

    async def end(self):
        """Lets everybody go."""
        self.listener.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def open(self):
        """Opens whenever no more can come."""
        while True:
            await asyncio.sleep(0.002)
            full = len(self.held) >= self.at_once or time.monotonic() - self.changed > STILL
            if self.held and not self.passed and full:
                wave, self.held = self.held, {}
                self.passed = len(wave)
                self.waves.append([line for line, _ in wave.values()])
                for _, go in wave.values():
                    go.set_result(None)

    async def serve(self, reader, writer):
        """One connection of the client's, and its own to the server."""
        upstream = None
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.server.port)
            while await self.request(reader, writer, *upstream):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for end in [writer] + ([upstream[1]] if upstream else []):
                end.close()

    async def request(self, reader, writer, answers, server):
        """One request without a body, held until the gate opens; `False` where the client gave it up."""
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n", 1)[0].decode()
        go = self.loop.create_future()
        self.held[go] = (line, go)
        self.changed = time.monotonic()
        # Whoever waits for an answer sends nothing, so what comes is the end.
        given_up = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({go, given_up}, return_when=asyncio.FIRST_COMPLETED)
            # From its answer on it may send the next request, which is not for this reader.
            given_up.cancel()
            if await asyncio.gather(given_up, return_exceptions=True) == [b""] or not go.done():
                return False
            server.write(head)
            answer = await answers.readuntil(b"\r\n\r\n")
            writer.write(answer)
            fields = dict(field.lower().split(b": ", 1) for field in answer.split(b"\r\n")[1:-2])
            assert b"transfer-encoding" not in fields, answer
            left = 0 if line.startswith("HEAD ") else int(fields.get(b"content-length", 0))
            while left:
                part = await answers.read(min(left, 1 << 16))
                if not part:
                    return False
                left -= len(part)
                writer.write(part)
            await writer.drain()
        finally:
            self.changed = time.monotonic()
            if self.held.pop(go, None) is None:
                self.passed -= 1
            given_up.cancel()
        return True
