"""The edge on the board: the package's program, asked as its operator would."""
import json

from hub import free_port
from machine import Machine, raspberry_pi_3, virtual_board
from waiting import wait_until

GEO = 'pi'


class Board:
    """A disk, and the machine that runs from it; many, one after the other."""

    def __init__(self, kernel, disk, folder):
        self._kernel, self._disk, self._folder = kernel, disk, folder
        self.mqtt_port = free_port()
        self.machine = None

    def power_on(self, rtc='utc'):
        return self._start(virtual_board(self._kernel, self._disk, {self.mqtt_port: 1883}, rtc))

    def power_on_as_raspberry_pi(self):
        return self._start(raspberry_pi_3(self._kernel, self._disk))

    def boot(self, rtc='utc'):
        """Power on, until the edge runs; nobody helps."""
        self.power_on(rtc).wait_for_shell()
        wait_until('the edge, after power on', self.is_active, 120)
        return self.machine

    def _start(self, model):
        self.machine = Machine(self._folder, model)
        return self.machine

    def is_active(self):
        return self.machine.try_run('systemctl is-active edgestream')[0] == 0

    def edge(self, arguments):
        """Runs a command of the edge's program on the board."""
        return self.machine.run(f'edgestream {arguments}')

    def status(self):
        return json.loads(self.edge('status -o json'))[0]

    def source(self, name):
        """What status says of a source; None where there is no such."""
        return next((source for source in self.status()['sources'] if source['source'] == name), None)

    def is_running(self, source):
        state = self.source(source)
        return state is not None and state['state'].lower() == 'running'

    def durable(self, topic):
        rows = json.loads(self.edge(f'partition list --topic {topic} -o json'))
        return rows[0]['durable'] if rows else 0

    def records(self, topic):
        return [json.loads(line) for line in self.edge(f'consume {topic} -B -d -o json').splitlines()]

    def pulse(self, line, times, up=0.05, down=0.05):
        """Drives a line of the simulated Raspberry Pi's chip up and down: two edges each. Returns for how many seconds it was up at most."""
        return int(self.machine.run(f'pulse {line} {times} {up} {down}', seconds=60 + 10 * times * (up + down))) / 1e6

    def drive(self, line, level):
        """Drives a line of that chip up or down for good, by its pull resistor: a request with another pull changes it again."""
        self.machine.run(f"echo pull-{'up' if level else 'down'} >/run/simulated-pi/sim_gpio{line}/pull")

    def level(self, line):
        return int(self.machine.run(f'cat /run/simulated-pi/sim_gpio{line}/value'))
