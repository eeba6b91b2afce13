"""A device that publishes by MQTT, with QoS 1, and knows which messages it has an answer for."""
import itertools
import re
import socket
import subprocess
import threading

from waiting import wait_until

PUBACK = re.compile(r'received PUBACK \(Mid: (\d+)')


# MQTT 3.1.1: a clean session, no keep-alive, the identifier "probe".
CONNECT = b'\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05probe'
CONNACK = b'\x20\x02\x00\x00'


def answers(port):
    """Whether a broker takes connections. The port itself is open all the time: it is qemu's."""
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=2) as connection:
            connection.sendall(CONNECT)
            return connection.recv(4) == CONNACK
    except OSError:
        return False


class Publisher:
    """One connection of mosquitto_pub. It sends nothing again: each message is published once at most."""

    _numbers = itertools.count()

    def __init__(self, port):
        # mosquitto_pub numbers its messages from 1 on, in the order in which it reads them.
        self._sent = []
        self._acknowledged = []
        self._stopping = threading.Event()
        self._process = subprocess.Popen(
            ['stdbuf', '-oL', 'mosquitto_pub', '-h', '127.0.0.1', '-p', str(port), '-i', 'meter', '-q', '1', '-t', 'e2e/power', '-l', '-d'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self._threads = [threading.Thread(target=self._send, daemon=True), threading.Thread(target=self._listen, daemon=True)]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def connect(port, seconds=60):
        """Tries until the broker has acknowledged something."""
        wait_until('a broker that answers', lambda: answers(port), seconds, pause=0.1)
        current = Publisher(port)

        def is_answered():
            nonlocal current
            if current._acknowledged:
                return True
            if current._process.poll() is not None:
                current = Publisher(port)
            return False
        try:
            wait_until('a first PUBACK', is_answered, seconds, pause=0.05)
        except TimeoutError:
            current.stop()
            raise
        return current

    def stop(self):
        """Ends the connection without a word, and returns the messages that were acknowledged."""
        self._stopping.set()
        self._process.kill()
        for thread in self._threads:
            thread.join()
        self._process.wait()
        return [self._sent[number - 1] for number in self._acknowledged]

    def _send(self):
        try:
            # A hundred a second: the log is never idle, and the emulated board keeps up.
            while not self._stopping.wait(0.01):
                message = f'reading {next(Publisher._numbers)}'
                self._sent.append(message)
                self._process.stdin.write(message + '\n')
        except (BrokenPipeError, ValueError):
            pass

    def _listen(self):
        for line in self._process.stdout:
            if found := PUBACK.search(line):
                self._acknowledged.append(int(found[1]))
