"""Answers, read strictly: the head is bounded, and the body ends exactly where it says.

`http.client` takes a head that breaks off for a whole one, a body that is too short or too long for a right
one, and a chunk of size -1 for "all there is". Source of the rules: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct

from app.delivery.wire.outcome import Failure, Stop

HEAD_CAP = 64 * 1024
"""Bytes of an answer's status lines and headers, those of 100s included."""
HEADERS_MAX = 100

# In none of these may two parts in a row take the same bytes: a line of blanks would be divided between them
# in every way, for half a minute, in which no thread of this process runs.
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})(?:[ \t][^\r\n]*)?\r?\n")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r?\n")
_FOLDED_LINE = re.compile(rb"[ \t]([\t\x20-\x7e\x80-\xff]*)\r?\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_CHUNK_LINE_MAX = 1024
_BLANKS = " \t"
"""What else Python takes for blank, others take for part of a word."""
_WHOLE_WORDS = re.compile(rb"[^\r\n]{1,40}(?![!-~])")
_PIECE = 64 * 1024
_A_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


class Incoming:
    """What comes over a connection: line by line, or as many bytes as are wanted."""

    def __init__(self, connection: socket.socket, plain: socket.socket, seconds: float) -> None:
        """``plain`` is the connection below any encryption; a read may wait so many ``seconds``."""
        if not isinstance(connection, ssl.SSLSocket):
            _let_the_system_time(connection, seconds)
        else:
            connection.settimeout(seconds)
        self._connection = connection
        self._plain = plain
        self._seconds = seconds
        self._kept = bytearray()
        self._at = 0

    def line(self, most: int) -> bytes:
        """Up to and with the end of the line; less if it is longer than ``most`` or if all ends before."""
        kept, start = self._kept, self._at
        looked_at, last = start, start + most
        while (end := kept.find(b"\n", looked_at, last)) < 0 and len(kept) < last:
            looked_at = len(kept)
            if not self._more():
                break
        return self._out(end + 1 if end >= 0 else min(len(kept), last))

    def some(self, most: int) -> bytes:
        """Up to ``most`` bytes, none only at the end."""
        if self._at == len(self._kept) and not self._more():
            return b""
        return self._out(min(len(self._kept), self._at + most))

    def has_more(self) -> bool:
        """Whether more came with what was read. What is still on its way, ``is_silent`` meets later."""
        if self._at < len(self._kept):
            return True
        return isinstance(self._connection, ssl.SSLSocket) and self._connection.pending() > 0

    def is_silent(self) -> bool:
        """Whether the other side neither said anything more nor is gone. It never waits."""
        if self.has_more():
            return False
        try:
            self._plain.recv(1, _A_LOOK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return isinstance(self._connection, ssl.SSLSocket) and self._says_nothing()

    def _says_nothing(self) -> bool:
        """Whether what came over TLS holds none of the partner's words, as a session ticket does not."""
        self._connection.settimeout(0)
        try:
            self._more()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return True
        except OSError:
            return False
        finally:
            self._connection.settimeout(self._seconds)
        return False

    def _more(self) -> bool:
        piece = self._connection.recv(_PIECE)
        self._kept += piece
        return bool(piece)

    def _out(self, end: int) -> bytes:
        kept = self._kept
        out = bytes(kept[self._at : end])
        self._at = end
        if end == len(kept) or end > _PIECE:
            del kept[:end]
            self._at = 0
        return out


class Answer:
    """An answer as it is read: first its head, then its body."""

    def __init__(self, incoming: Incoming) -> None:
        self.status = 0
        self.fields: list[tuple[str, str]] = []
        self.declared: int | None = None
        """The body's length as the head tells it."""
        self.received = bytearray()
        """The body as far as it was read."""
        self.ended = False
        """Whether all of the body was read."""
        self.ends_connection = False
        """Whether nothing may be asked on this connection any more."""
        self._incoming = incoming
        self._head_left = HEAD_CAP
        self._minor = 1
        self._chunked = False
        self._left: int | None = None
        self._chunk_left = 0
        self._framing = 0

    def begin(self) -> None:
        """Read status line and headers, skipping any 100s before them. Errors: Stop, OSError."""
        status = self._status_line()
        while status == 100:
            self._field_lines()
            status = self._status_line()
        self.status = status
        self.fields = self._field_lines()
        self._frame()

    def read(self, most: int) -> None:
        """Read up to ``most`` bytes of the body. Errors: Stop, OSError; what came is kept all the same."""
        if self._chunked:
            self._read_chunks(most)
        elif self._left is not None:
            self._read_declared(most, self._left)
        elif self._take(most) < most:
            self.ended = True

    def _status_line(self) -> int:
        line = self._head_line()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise _odd(f"it begins with {_quoted(line)}")
        self._minor = int(match[1])
        return int(match[2])

    def _field_lines(self) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        while (line := self._head_line()) not in (b"\r\n", b"\n"):
            if match := _FIELD_LINE.fullmatch(line):
                fields.append((match[1].decode("ascii"), match[2].decode("latin-1").strip(_BLANKS)))
            elif fields and (match := _FOLDED_LINE.fullmatch(line)):
                name, value = fields[-1]
                fields[-1] = (name, f"{value} {match[1].decode('latin-1').strip(_BLANKS)}")
            else:
                raise _odd(f"it has the header line {_quoted(line)}")
            if len(fields) > HEADERS_MAX:
                raise _odd(f"it has more than {HEADERS_MAX} headers")
        return fields

    def _head_line(self) -> bytes:
        line = self._incoming.line(self._head_left + 1)
        if not line and self._head_left == HEAD_CAP:
            raise Stop(Failure.RESET, "The partner closed the connection without an answer.")
        self._head_left -= len(line)
        if self._head_left < 0:
            raise _odd(f"its headers are longer than {HEAD_CAP // 1024} KiB")
        if not line.endswith(b"\n"):
            raise _odd("it broke off in its headers")
        return line

    def _frame(self) -> None:
        """Where the body ends, and whether the connection may be used again (RFC 9112, 6.3 and 9.3)."""
        lengths, codings, connection = (
            self._tokens(name) for name in ("content-length", "transfer-encoding", "connection")
        )
        if codings and (codings != ["chunked"] or lengths or self._minor == 0):
            raise _odd("its transfer coding is not plain chunked")
        if len(set(lengths)) > 1 or not all(
            length.isascii() and length.isdigit() and len(length) < 16 for length in lengths
        ):
            raise _odd("its Content-Length is no single number")
        self._chunked = bool(codings)
        self.declared = self._left = int(lengths[0]) if lengths else None
        if self.status < 200 or self.status in (204, 304):
            self._chunked, self._left = False, 0
        endless = self._left is None and not self._chunked
        kept = "close" not in connection and (self._minor > 0 or "keep-alive" in connection)
        self.ends_connection = endless or not kept

    def _tokens(self, name: str) -> list[str]:
        values = [value for given, value in self.fields if given.lower() == name]
        return [token.strip(_BLANKS).lower() for value in values for token in value.split(",")]

    def _read_declared(self, most: int, left: int) -> None:
        taken = self._take(min(most, left))
        self._left = left - taken
        if self._left == 0:
            self._end()
        elif taken < most:
            raise _odd(f"it broke off after {len(self.received)} of {self.declared} bytes")

    def _read_chunks(self, most: int) -> None:
        while most:
            if not self._chunk_left:
                self._chunk_left = self._next_chunk()
                if not self._chunk_left:
                    self._field_lines()
                    self._end()
                    return
            wanted = min(most, self._chunk_left)
            taken = self._take(wanted)
            self._chunk_left -= taken
            most -= taken
            if taken < wanted or (not self._chunk_left and self._incoming.line(3) != b"\r\n"):
                raise _odd(f"it broke off after {len(self.received)} bytes")

    def _next_chunk(self) -> int:
        line = self._incoming.line(_CHUNK_LINE_MAX)
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise _odd(f"it broke off or went wrong after {len(self.received)} bytes")
        # Else a body of chunks of one byte, each with its extension, costs a thousand times what it brings.
        self._framing += len(line)
        if self._framing > HEAD_CAP + len(self.received):
            raise _odd("its chunks are more frame than body")
        return int(match[1], 16)

    def _take(self, wanted: int) -> int:
        """Read that many bytes, fewer only at the end; piece by piece, so that none is lost if it fails."""
        left = wanted
        while left and (piece := self._incoming.some(left)):
            self.received += piece
            left -= len(piece)
        return wanted - left

    def _end(self) -> None:
        """The body is complete: nothing may follow it, since on this connection nothing was asked for."""
        self.ended = True
        if self._incoming.has_more():
            raise _odd(f"it goes on after the {len(self.received)} bytes that it declares")


def _let_the_system_time(connection: socket.socket, seconds: float) -> None:
    """Python's own time limits ask the system twice for each read and write; its limits ask once.

    What they end is a BlockingIOError.
    """
    connection.settimeout(None)
    limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _quoted(line: bytes) -> str:
    """How a line begins, cut between words: half a secret would be found by nobody who hides it."""
    found = _WHOLE_WORDS.match(line)
    return repr(found[0] if found else line[:8])


def _odd(what: str) -> Stop:
    return Stop(Failure.ODD_ANSWER, f"The partner's answer is no proper HTTP: {what}.")
