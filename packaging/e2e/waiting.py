"""Waiting for something to become true, with a deadline."""
import time


def wait_until(what, condition, seconds, pause=0.2):
    """Returns the first result of condition() that is true; raises TimeoutError with what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f'{what}: not within {seconds} s')
        time.sleep(pause)
