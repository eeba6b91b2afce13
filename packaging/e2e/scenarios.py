"""What is done to the board, and what must be true afterwards. Each step begins where the one before has ended; its docstring says in
the table what it was, the text it returns what came of it."""
import datetime
import json
import random
import time

from board import GEO
from publisher import Publisher
from timeserver import TimeServer
from waiting import wait_until

DOOR, TAKEN, METER, OUTSIDE = 'gpio pinctrl-bcm2835/GPIO17', 'gpio pinctrl-bcm2835/GPIO22', 'gpio pinctrl-bcm2835/4', 'gpio 9030000.pl061/5'
BUTTON, CONTACT, BOUNCING = (f'gpio pinctrl-bcm2835/GPIO{line}' for line in (5, 13, 19))
DEBOUNCE = 0.5  # of the last one, as e2e.toml has it


class Scenarios:
    def __init__(self, board, hub, cuts, seed):
        self.board, self.hub, self.cuts = board, hub, cuts
        self.random = random.Random(seed)
        self.edges = 0  # in topic door
        self.pulses = 0  # in topic meter
        self.acknowledged = []  # in topic readings

    def install(self):
        """Debian 12 arm64 under its systemd; `dpkg -i`, `edgestream check`, reload, join"""
        machine = self.board.power_on().wait_for_shell()
        booted = machine.age
        wait_until('the simulated chip', lambda: machine.try_run('test -e /run/simulated-pi')[0] == 0, 60)
        machine.run('dpkg -i /root/edgestream.deb', seconds=300)
        print(f'  shell after {booted:.0f} s, package after {machine.age:.0f} s', flush=True)
        wait_until('the edge, after dpkg -i', self.board.is_active, 60)
        machine.run('cp /root/e2e.toml /etc/edgestream/edgestream.d/ && edgestream check')
        machine.run('systemd-run --quiet --unit=holder gpiomon --silent pinctrl-bcm2835 22')
        wait_until('gpiomon', lambda: machine.try_run('gpioinfo pinctrl-bcm2835 | grep -q "GPIO22.*gpiomon"')[0] == 0, 30)
        self.board.drive(13, 1)
        machine.run('systemctl reload edgestream')
        for source in (DOOR, METER, OUTSIDE, BUTTON, CONTACT, BOUNCING):
            wait_until(f'source {source}', lambda name=source: self.board.is_running(name), 60)
        self.board.edge(f'join 10.0.2.2:{self.hub.port} --token {self.hub.invite(GEO)}')
        wait_until('the uplink', lambda: self.board.status()['connected'], 60)
        devices = machine.run('stat -c "%U:%G %a" /dev/gpiochip1').strip()
        return f"shell after {booted:.0f} s; {self.board.status()['version']}; /dev/gpiochip1 is {devices}; sources run, uplink connected"

    def busy_line(self):
        """A line that `gpiomon` has; then `gpiomon` ends"""
        message = wait_until('a word about GPIO22', lambda: self.board.source(TAKEN)['last_error'], 30)
        check("in use by 'gpiomon'" in message, f'what status says of a taken line: {message}')
        self.board.machine.run('systemctl stop holder')
        wait_until('the line that is free again', lambda: self.board.is_running(TAKEN), 60)
        self.board.pulse(22, 1)
        self.edges += 2
        self._wait_for_edges()
        return f'"{message}"; runs by itself once the line is free'

    def count_edges(self):
        """200 edges on line GPIO17 by name, 50 pulses on line 4 with `count-every`"""
        before = self.edges
        self.board.pulse(17, 100)
        self.edges += 200
        self.board.pulse(4, 50)
        self.pulses += 50
        self._wait_for_edges()
        wait_until('all pulses at the hub', lambda: self._pulses_at_hub() == self.pulses, 30)
        edges = [json.loads(record['value'])['edge'] for record in self._from_hub('door')[before:]]
        check(edges == ['rising', 'falling'] * 100, f'edges at the hub: {edges}')
        self._check_drops()
        return f'{len(edges)} edges at the hub, in turn rising and falling; counts add up to {self.pulses}; nothing dropped'

    def drive_from_outside(self):
        """40 edges on a PL061, an untouched driver, driven by qemu"""
        for _ in range(20):
            self.board.machine.set_line(5, 1)
            time.sleep(0.05)  # the machine's own doing: faster, and two edges are one interrupt
            self.board.machine.set_line(5, 0)
            time.sleep(0.05)
        wait_until('all edges of the PL061 at the hub', lambda: self.hub.durable('outside', GEO) >= 40, 30)
        edges = [json.loads(record['value'])['edge'] for record in self._from_hub('outside')]
        check(edges == ['rising', 'falling'] * 20, f'edges at the hub: {edges}')
        return '40 edges at the hub, in turn'

    def switch_and_poll(self):
        """By libgpiod: the hub switches GPIO27 on and off, GPIO6 is polled"""
        machine = self.board.machine
        self.hub.run('topic', 'create', 'commands', '--down')
        for command, level in (('on', '1'), ('off', '0'), ('on', '1')):
            self.hub.run('produce', 'commands', '--geo', GEO, given=command + '\n')
            wait_until(f'GPIO27 {command}', lambda: machine.run('cat /run/simulated-pi/sim_gpio27/value').strip() == level, 60)
        machine.run('echo pull-up >/run/simulated-pi/sim_gpio6/pull')
        wait_until('the level at the hub', lambda: '"value":1' in self._from_hub('level')[-1]['value'], 30)
        return 'on, off, on, as the chip shows it; the level that was driven is at the hub'

    def wire_contacts(self):
        """Five presses of a button with `pull = "up"` and `active-low`, five of a contact with `pull = "down"`"""
        check(self.board.level(5) == 1, 'nothing pulls GPIO5 up')
        check(self.board.level(13) == 0, 'GPIO13 was up, and nothing has pulled it down')
        for _ in range(5):
            for line, pressed in ((5, 0), (13, 1)):
                self.board.drive(line, pressed)
                self.board.drive(line, 1 - pressed)
        wait_until('all presses at the hub', lambda: self.hub.durable('contacts', GEO) >= 20, 30)
        for line in ('GPIO5', 'GPIO13'):
            check(self._contact(line) == [(1, 'rising'), (0, 'falling')] * 5, f'{line} at the hub: {self._contact(line)}')
        return 'the chip was pulled as configured; each press at the hub as 1, rising, each release as 0, falling, also where low means pressed'

    def bounce(self):
        """`debounce = "500ms"`: ten glitches, of 2 ms as far as the emulated processor keeps up; then a press and a release that bounce"""
        before = self.board.source(BOUNCING)
        longest = self.board.pulse(19, 10, up=0.002, down=DEBOUNCE + 0.1)
        check(longest < DEBOUNCE, f'the machine is too slow for this: a glitch lasted {longest:.3f} s')
        after = self.board.source(BOUNCING)
        seen = after['received'] - before['received']
        check(seen >= 10, f"the source has seen {seen} changes, so that there was nothing to pass over")
        check(self._contact('GPIO19') == [], f"a glitch of {longest * 1000:.0f} ms counted: {self._contact('GPIO19')}")
        for pressed in (1, 0):
            self.board.pulse(19, 5, up=0.002, down=0.002)
            self.board.drive(19, pressed)
            wait_until('a change that has come to rest', lambda count=2 - pressed: len(self._contact('GPIO19')) == count, 30)
        check(self._contact('GPIO19') == [(1, 'rising'), (0, 'falling')], f"at the hub: {self._contact('GPIO19')}")
        return f'{seen} changes seen, none recorded (a glitch lasted {longest * 1000:.0f} ms at most); press and release once each'

    def stop_safely(self):
        """Three outputs of the PL061 are switched, then `systemctl stop`; start"""
        machine = self.board.machine
        self.hub.run('topic', 'create', 'valves', '--down')
        self.hub.run('produce', 'valves', '--geo', GEO, '--key-separator', ':', given='0:on\n1:on\n1:off\n2:on\n')

        def levels():
            return [machine.line_level(line) for line in (0, 1, 2)]
        # The last one is active-low.
        wait_until('the outputs, as the hub wants them', lambda: levels() == [1, 0, 0], 60)
        machine.run('systemctl stop edgestream')
        check(levels() == [0, 1, 1], f'levels after the stop: {levels()}')
        machine.run('systemctl start edgestream')
        wait_until('the outputs, as initial', lambda: levels() == [0, 0, 1], 60)
        for source in (DOOR, METER, OUTSIDE):
            wait_until(f'source {source}', lambda name=source: self.board.is_running(name), 60)
        return 'on, off and (active-low) on while it runs; `at-stop` off, on and off at the pins after it; off at the next start'

    def cut_network(self):
        """Link down for 60 edges, some of them after the uplink has noticed; up again"""
        machine, at_hub = self.board.machine, self.hub.durable('door', GEO)
        machine.set_link(False)
        self.board.pulse(17, 10)
        wait_until('the uplink to notice', lambda: not self.board.status()['connected'], 120)
        self.board.pulse(17, 20)
        self.edges += 60
        wait_until('the edges in the log', lambda: self.board.durable('door') == self.edges, 30)
        check(self.hub.durable('door', GEO) == at_hub, 'something got through')
        machine.set_link(True)
        started = time.monotonic()
        self._wait_for_edges(120)
        self._check_same('door')
        return f'60 edges waited; all at the hub {time.monotonic() - started:.0f} s after link up, once'

    def bound_memory(self):
        """`MemoryMax=64M` by a drop-in, 20 s of MQTT and 100 edges"""
        machine = self.board.machine
        machine.run('''mkdir -p /etc/systemd/system/edgestream.service.d
printf '[Service]\\nMemoryHigh=infinity\\nMemoryMax=64M\\n' >/etc/systemd/system/edgestream.service.d/memory.conf
systemctl daemon-reload
systemctl restart edgestream''')
        for source in (DOOR, METER):
            wait_until(f'source {source}', lambda name=source: self.board.is_running(name), 60)
        publisher = Publisher.connect(self.board.mqtt_port)
        self.board.pulse(17, 50)
        self.edges += 100
        started = time.monotonic()
        wait_until('20 s of messages', lambda: time.monotonic() - started > 20, 30)
        self.acknowledged += (taken := publisher.stop())
        self._wait_for_edges()
        group = '/sys/fs/cgroup/system.slice/edgestream.service'
        limit, peak = (int(machine.run(f'cat {group}/memory.{name}')) for name in ('max', 'peak'))
        check(limit == 64 << 20, f'memory.max is {limit}')
        kills = machine.run(f'sed -n "s/^oom_kill //p" {group}/memory.events').strip()
        check(kills == '0', f'{kills} kills for want of memory')
        resident = int(machine.run('sed -n "s/^VmRSS:[^0-9]*\\([0-9]*\\) kB/\\1/p" /proc/$(systemctl show -P MainPID edgestream)/status'))
        return f'{len(taken)} messages and 100 edges; peak {peak / 1e6:.0f} MB with page cache, {resident / 1024:.0f} MB resident, no kill'

    def cut_power(self):
        """Power cuts at random moments under MQTT QoS 1 at 100/s; one in four while the board starts"""
        self.board.machine.run('sync')
        self.board.machine.cut_power()
        first, boot_seconds, while_starting = len(self.acknowledged), [], 0
        for cut in range(self.cuts):
            if cut % 4 == 3:
                while_starting += 1
                machine, moment = self.board.power_on(), self.random.uniform(2, boot_seconds[-1])
                wait_until('a moment while it starts', lambda: machine.age > moment, 120, pause=0.01)
                machine.cut_power()
                continue

            # Nobody asks it anything while it boots, which would be a good part of what its processor does.
            machine = self.board.power_on()
            publisher = Publisher.connect(self.board.mqtt_port, 180)
            boot_seconds.append(machine.age)
            moment = machine.age + self.random.uniform(0, 4)
            wait_until('a moment while it works', lambda: machine.age > moment, 30, pause=0.01)
            machine.cut_power()
            self.acknowledged += publisher.stop()
            print(f'  cut {cut + 1} of {self.cuts}, booted in {boot_seconds[-1]:.0f} s, {len(self.acknowledged)} acknowledged', flush=True)

        self.board.boot()
        wait_until('everything at the hub', lambda: self.board.durable('readings') == self.hub.durable('readings', GEO) > 0, 180)
        self._check_readings()
        for topic in ('readings', 'door'):
            self._check_same(topic)
        self.board.edge('log verify')
        gaps = json.loads(self.board.edge('gaps -o json'))
        check(not gaps, f'gaps: {gaps}')
        return (f'{self.cuts} cuts ({while_starting} while starting); took messages by itself each time, within {max(boot_seconds):.0f} s; '
                f'{len(self.acknowledged) - first} messages acknowledged meanwhile, each at the hub once; `log verify` finds nothing')

    def wrong_clock(self):
        """Clock chip shows 2001; 20 edges; then a time server; 2 edges"""
        self.board.machine.run('sync')
        self.board.machine.cut_power()
        before = self.edges
        machine = self.board.boot(rtc='2001-01-01T00:00:00')
        wait_until('source door', lambda: self.board.is_running(DOOR), 60)
        shown = machine.run('date -u +%F').strip()
        earliest = time.time()
        self.board.pulse(17, 10)
        latest = time.time()
        wait_until('the edges in the log', lambda: self.board.durable('door') == before + 20, 30)
        server = TimeServer()
        try:
            machine.run('systemctl start systemd-timesyncd')
            wait_until('the right time', lambda: machine.try_run('test -e /run/systemd/timesync/synchronized')[0] == 0, 90)
        finally:
            server.stop()
        self.board.pulse(17, 1)
        self.edges += 22
        self._wait_for_edges(120)

        def corrected():
            records = self._from_hub('door')[before:before + 20]
            return records if all(record['clock'] == 'corrected' for record in records) else None
        records = wait_until('corrected times at the hub', corrected, 60)
        times = [record['timestamp'] / 1000 for record in records]
        check(earliest - 2 < min(times) and max(times) < latest + 2, f'corrected times {min(times)} to {max(times)}, happened {earliest} to {latest}')
        stored = datetime.datetime.fromtimestamp(records[0]['storedTimestamp'] / 1000, datetime.timezone.utc)
        return f'guest\'s date {shown}; stored as {stored:%F}, `consume -t` at the hub shows when they happened, to 2 s'

    def be_a_raspberry_pi(self):
        """The same card in a Raspberry Pi 3 (qemu's `raspi3b`), whose lines are the real driver's; no network, no clock chip"""
        self.board.machine.run('sync')
        self.board.machine.cut_power()
        before = self.edges
        machine = self.board.power_on_as_raspberry_pi().wait_for_shell(300)
        wait_until('the edge, in the Raspberry Pi', self.board.is_active, 180)
        for source in (DOOR, METER):
            wait_until(f'source {source}', lambda name=source: self.board.is_running(name), 60)
        model = machine.run('tr -d "\\0" </proc/device-tree/model').strip()
        driver = machine.run('readlink /sys/bus/gpio/devices/gpiochip0/../driver').strip().rsplit('/', 1)[-1]
        missing = self.board.source(OUTSIDE)['last_error']
        check('9030000.pl061' in missing, f'what status says of a chip that is not there: {missing}')
        check(self.board.durable('door') >= before, f"{self.board.durable('door')} edges of {before} are left")
        self.board.edge('log verify')
        date = machine.run('date -u +%F').strip()
        return (f'{model}, driver {driver}, date {date}; active after {machine.age:.0f} s by itself, lines of the same names run, '
                f'of the chip that it lacks: "{missing}"')

    def _from_hub(self, topic):
        """What the hub has of a topic: all offsets from 0 on, each once."""
        records = self.hub.records(topic, GEO)
        offsets = [record.get('offset') for record in records]
        check(offsets == list(range(len(offsets))), f'offsets of {topic} at the hub are not 0 to {len(offsets) - 1}')
        return records

    def _contact(self, line):
        """What the hub has of a line with contacts: values and edges."""
        values = [json.loads(record['value']) for record in self._from_hub('contacts') if record['key'] == line] if self.hub.durable('contacts', GEO) else []
        return [(value['value'], value['edge']) for value in values]

    def _pulses_at_hub(self):
        return sum(json.loads(record['value'])['count'] for record in self._from_hub('meter')) if self.hub.durable('meter', GEO) else 0

    def _wait_for_edges(self, seconds=60):
        wait_until(f'{self.edges} edges at the hub', lambda: self.hub.durable('door', GEO) >= self.edges, seconds)
        check(len(self._from_hub('door')) == self.edges, f"{len(self._from_hub('door'))} edges at the hub instead of {self.edges}")

    def _check_readings(self):
        """What was acknowledged is at the hub once. What was not may be there: the power went before the answer."""
        values = [record['value'] for record in self._from_hub('readings')]
        held = set(values)
        check(len(held) == len(values), f'{len(values) - len(held)} messages are at the hub twice')
        missing = [value for value in self.acknowledged if value not in held]
        check(not missing, f'{len(missing)} acknowledged messages are missing, for instance {missing[:3]}')

    def _check_same(self, topic):
        """Edge and hub have the same records at the same offsets."""
        def content(records):
            return [(record['offset'], record['key'], record['value']) for record in records]
        check(content(self.board.records(topic)) == content(self._from_hub(topic)), f'{topic} is not the same at edge and hub')

    def _check_drops(self):
        drops = {source['source']: source['dropped'] for source in self.board.status()['sources'] if source['dropped']}
        check(not drops, f'dropped: {drops}')


def check(condition, message):
    if not condition:
        raise AssertionError(message)
