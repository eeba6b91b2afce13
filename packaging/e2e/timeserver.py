"""A time server (SNTP, RFC 4330) with this machine's clock, for a guest that has none."""
import socket
import struct
import threading
import time

SECONDS_FROM_1900_TO_1970 = 2_208_988_800


class TimeServer:
    def __init__(self, port=123):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(('127.0.0.1', port))
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        self._socket.close()

    def _serve(self):
        while True:
            try:
                request, client = self._socket.recvfrom(512)
            except OSError:
                return
            if len(request) < 48:
                continue
            now = int((time.time() + SECONDS_FROM_1900_TO_1970) * 2**32)
            # Version 4, server, stratum 1; the client's own time comes back to it, so that it knows its question.
            head = struct.pack('!BBbbII4s', 0x24, 1, 6, -20, 0, 0x100, b'HOST')
            self._socket.sendto(head + struct.pack('!Q', now) + request[40:48] + struct.pack('!QQ', now, now), client)
