"""A name server of the tests: TXT records, as a domain's owner would put them into the DNS."""

import socket
import threading
from types import TracebackType
from typing import Self

import dns.message
import dns.rcode
import dns.rrset

LONGEST = 4096


class NameServer:
    """Answers from `records`, texts by names, on a UDP port of loopback; everything else does not exist."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(LONGEST)
            if not data:
                return
            query = dns.message.from_wire(data)
            name = query.question[0].name
            answer = dns.message.make_response(query)
            texts = self.records.get(name.to_text(omit_final_dot=True), [])
            if texts:
                answer.answer.append(
                    dns.rrset.from_text(name, 60, "IN", "TXT", *(f'"{text}"' for text in texts))
                )
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), client)
