"""The hub that the board mirrors to: the real program, on this machine."""
import json
import os
import socket
import subprocess

from waiting import wait_until


class Hub:
    def __init__(self, program, folder):
        self._program = program
        self._socket = f'{folder}/hub.sock'
        self.port = free_port()
        with open(f'{folder}/hub.log', 'w') as log:
            self._process = subprocess.Popen(
                [program, 'hub', '--data', f'{folder}/hub', '--socket', self._socket, '--listen', f'127.0.0.1:{self.port}', '--http', 'none'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until('the hub', self._answers, 60)

    def run(self, *arguments, given=''):
        """Runs a command of the program against the hub, with what it is given to read, and returns what it printed."""
        return subprocess.run(
            [self._program, *arguments, '--socket', self._socket], check=True, input=given, stdout=subprocess.PIPE, text=True, timeout=120).stdout

    def invite(self, geo):
        return self.run('geo', 'invite', geo).strip().splitlines()[-1]

    def records(self, topic, geo):
        """All that the hub has of a topic of a geo-location, in the order of offsets; gaps as what they are."""
        return [json.loads(line) for line in self.run('consume', topic, '--geo', geo, '-B', '-d', '-o', 'json').splitlines()]

    def durable(self, topic, geo):
        """The durable end of the hub's copy; 0 where it has none yet."""
        rows = json.loads(self.run('partition', 'list', '-o', 'json'))
        return next((row['durable'] for row in rows if (row['topic'], row['geo']) == (topic, geo)), 0)

    def stop(self):
        self._process.terminate()
        self._process.wait(30)

    def _answers(self):
        if self._process.poll() is not None:
            raise RuntimeError('the hub does not start; hub.log says why')
        return os.path.exists(self._socket) and subprocess.run(
            [self._program, 'status', '--socket', self._socket], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]
