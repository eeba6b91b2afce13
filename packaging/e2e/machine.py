"""A virtual arm64 board: started, asked by a console that needs no network, and deprived of its link and its power."""
import json
import os
import re
import signal
import socket
import subprocess
import time

from waiting import wait_until


COMMAND_LINE = 'rw rootwait quiet loglevel=4 mitigations=off audit=0'

# Of the machine `virt`: its PL061's data register, where all eight lines are asked for.
PL061_DATA = 0x9030000 + (0xff << 2)


class CommandFailed(Exception):
    """A command in the guest ended with a code that is not 0."""


def virtual_board(kernel, disk, forwards, rtc='utc'):
    """A plain board with a clock chip and a network. forwards: ports on this machine's loopback interface, and the guest's that they lead to."""
    network = 'user,id=n0' + ''.join(f',hostfwd=tcp:127.0.0.1:{here}-10.0.2.15:{there}' for here, there in forwards.items())
    return [
        '-M', 'virt', '-cpu', 'cortex-a72', '-smp', '2', '-m', '512', '-rtc', f'base={rtc}', '-kernel', f'{kernel}/vmlinuz',
        '-append', f'console=ttyAMA0 root=/dev/nvme0n1 {COMMAND_LINE} systemd.wants=console-shell@hvc0.service',
        '-drive', f'file={disk},format=raw,if=none,id=disk,cache=writeback', '-device', 'nvme,drive=disk,serial=card',
        '-netdev', network, '-device', 'virtio-net-pci,netdev=n0,id=nic0,romfile=', '-device', 'virtio-rng-pci',
        '-serial', 'chardev:serial', '-device', 'virtio-serial-pci', '-device', 'virtconsole,chardev=console']


def raspberry_pi_3(kernel, disk):
    """A Raspberry Pi 3: its own GPIO, an SD card, no clock chip; qemu has no network for it."""
    return [
        '-M', 'raspi3b', '-kernel', f'{kernel}/raspberry-pi/vmlinuz', '-initrd', f'{kernel}/raspberry-pi/initrd',
        '-dtb', f'{kernel}/raspberry-pi/bcm2837-rpi-3-b.dtb', '-drive', f'file={disk},format=raw,if=sd,cache=writeback',
        '-append', f'console=tty0 root=/dev/mmcblk0 {COMMAND_LINE} systemd.wants=console-shell@ttyS1.service',
        '-serial', 'chardev:serial', '-serial', 'chardev:console']


class Machine:
    """One run of the board, from power on to power off. Its disk outlives it."""

    def __init__(self, folder, model):
        """model: what it is, as arguments of qemu-system-aarch64 that use a character device named console for the root shell."""
        self.folder = folder
        self._control = self._console = self._lines = self._chip = None
        self._unread = b''
        self._commands = 0
        for name in ('control', 'console', 'lines'):
            if os.path.exists(f'{folder}/{name}'):
                os.unlink(f'{folder}/{name}')
        arguments = [
            'qemu-system-aarch64', *model, '-accel', 'tcg,thread=multi,tb-size=256', '-nodefaults', '-display', 'none', '-no-reboot',
            '-chardev', f'file,id=serial,path={folder}/serial.log',
            '-chardev', f'socket,id=console,path={folder}/console,server=on,wait=off',
            '-qmp', f'unix:{folder}/control,server=on,wait=off',
            '-qtest', f'unix:{folder}/lines,server=on,wait=off', '-qtest-log', '/dev/null']
        with open(f'{folder}/qemu.log', 'w') as log:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._started = time.monotonic()
        self._console = self._connect('console')

    @property
    def age(self):
        """Seconds since power on."""
        return time.monotonic() - self._started

    def wait_for_shell(self, seconds=180):
        """The console's shell is among the first things that run in the guest."""
        def is_ready():
            self._receive()
            return b'@@READY@@' in self._unread
        wait_until('the shell of the guest', is_ready, seconds, pause=0)
        self._unread = b''
        self.run('true')
        return self

    def run(self, command, seconds=120):
        """Runs a command as root and returns what it printed."""
        code, output = self.try_run(command, seconds)
        if code != 0:
            raise CommandFailed(f'{command}: exit code {code}\n{output}')
        return output

    def try_run(self, command, seconds=120):
        """As run, but returns the exit code as well, whatever it is."""
        self._commands += 1
        mark = f'@@{self._commands}'
        # The mark is sent in two pieces, so that only the shell's answer has it whole.
        self._console.sendall(f'( {command}\n) </dev/null 2>&1; echo "{mark}""@$?@"\n'.encode())
        end = re.compile(re.escape(mark.encode()) + rb'@(\d+)@\r?\n')

        def answer():
            self._receive()
            return end.search(self._unread)
        found = wait_until(command, answer, seconds, pause=0)
        output = self._unread[:found.start()].decode(errors='replace').replace('\r\n', '\n')
        self._unread = self._unread[found.end():]
        return int(found[1]), output

    def set_link(self, up):
        """Plugs the network cable in, or pulls it."""
        self.control('set_link', name='nic0', up=up)

    def set_line(self, line, level):
        """Drives a line of the board's own GPIO chip, the PL061, from outside."""
        if self._chip is None:
            parts = self.control('qom-list', path='/machine/unattached')
            self._chip = next('/machine/unattached/' + part['name'] for part in parts if part['type'] == 'child<pl061>')
        self._ask_lines(f'set_irq_in {self._chip} unnamed-gpio-in {line} {level}')

    def line_level(self, line):
        """The level of a line of the PL061, as its data register has it, whoever drives it or did so last."""
        return int(self._ask_lines(f'readl {PL061_DATA:#x}').split()[1], 16) >> line & 1

    def control(self, command, **arguments):
        """A QMP command."""
        if self._control is None:
            self._control = self._connect('control').makefile('rw')
            self._control.readline()
            self.control('qmp_capabilities')
        self._control.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self._control.flush()
        while line := self._control.readline():
            answer = json.loads(line)
            if 'error' in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if 'return' in answer:
                return answer['return']
        raise RuntimeError(f'{command}: qemu has ended')

    def cut_power(self):
        """From one instruction to the next. What the guest had not written to its disk is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def power_off(self):
        """As the power button of a careful person."""
        self._console.sendall(b'systemctl poweroff\n')
        self._process.wait(120)

    def _ask_lines(self, question):
        """A command of qtest, which reaches the hardware past the processor."""
        if self._lines is None:
            self._lines = self._connect('lines').makefile('rw')
        self._lines.write(question + '\n')
        self._lines.flush()
        while (answer := self._lines.readline().strip()).startswith('IRQ'):
            pass
        if not answer.startswith('OK'):
            raise RuntimeError(f'{question}: {answer}')
        return answer

    def _receive(self):
        """Takes what the console has to say, for a tenth of a second."""
        if self._process.poll() is not None:
            with open(f'{self.folder}/qemu.log') as log:
                raise RuntimeError(f'qemu has ended: {log.read().strip()}')
        try:
            self._unread += self._console.recv(65536)
        except socket.timeout:
            pass

    def _connect(self, name):
        connection = socket.socket(socket.AF_UNIX)

        def is_connected():
            try:
                connection.connect(f'{self.folder}/{name}')
                return True
            except OSError:
                if self._process.poll() is not None:
                    with open(f'{self.folder}/qemu.log') as log:
                        raise RuntimeError(f'qemu does not start: {log.read().strip()}') from None
                return False
        wait_until(f'the socket {name} of qemu', is_connected, 20, pause=0.05)
        connection.settimeout(0.1 if name == 'console' else 20)
        return connection
