#!/usr/bin/env python3
"""Puts the board through its scenarios and prints a table of what came of them. Ends with 1 where one failed."""
import argparse
import os
import random
import shutil
import sys
import tempfile
import time

from board import Board
from hub import Hub
from scenarios import Scenarios


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--hub-program', required=True)
    options.add_argument('--kernel', required=True, help='the folder that fetch-kernel.sh filled')
    options.add_argument('--disk', required=True, help='changed by the run')
    options.add_argument('--folder', required=True, help='logs of the run')
    options.add_argument('--cuts', type=int, default=int(os.environ.get('E2E_CUTS', '40')))
    options.add_argument('--seed', type=int, default=int(os.environ.get('E2E_SEED', random.randrange(1 << 31))))
    options = options.parse_args()
    print(f'seed {options.seed}', flush=True)

    # Sockets have short paths.
    sockets = tempfile.mkdtemp()
    board = Board(options.kernel, options.disk, sockets)
    hub = None
    try:
        hub = Hub(options.hub_program, sockets)
        scenarios = Scenarios(board, hub, options.cuts, options.seed)
        good = run([
            scenarios.install, scenarios.busy_line, scenarios.count_edges, scenarios.drive_from_outside, scenarios.switch_and_poll,
            scenarios.wire_contacts, scenarios.bounce, scenarios.stop_safely, scenarios.cut_network, scenarios.bound_memory, scenarios.cut_power, scenarios.wrong_clock, scenarios.be_a_raspberry_pi])
        if not good:
            show_journal(board)
    finally:
        if board.machine:
            board.machine.cut_power()
        if hub:
            hub.stop()
        keep_logs(sockets, options.folder)
        shutil.rmtree(sockets)
    return 0 if good else 1


def run(steps):
    """Runs them until one fails, and prints the table."""
    rows, good = [], True
    for step in steps:
        started = time.monotonic()
        print(f'{step.__name__} ...', flush=True)
        try:
            result = step()
        except Exception as error:
            good, result = False, f'FAILED: {error}'
        rows.append((step.__doc__, result, f'{time.monotonic() - started:.0f} s'))
        print(f'  {result} ({rows[-1][2]})', flush=True)
        if not good:
            break

    print('\n| what | result | took |\n|---|---|---|')
    for row in rows:
        print('| ' + ' | '.join(' '.join(cell.split()) for cell in row) + ' |')
    return good


def keep_logs(source, folder):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(source):
        if name.endswith('.log'):
            shutil.copy(f'{source}/{name}', folder)


def show_journal(board):
    try:
        print(board.machine.try_run('edgestream status; journalctl -u edgestream --no-pager -n 40')[1], file=sys.stderr)
    except Exception as error:
        print(f'the board does not answer: {error}', file=sys.stderr)


if __name__ == '__main__':
    sys.exit(main())
