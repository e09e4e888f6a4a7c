"""Processes that help another: they end when it does, even when it is killed."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import parent_process
from multiprocessing.connection import wait
from signal import SIG_IGN, SIGINT, signal
from threading import Thread


def start_pool(workers: int) -> ProcessPoolExecutor:
    """Processes to give work to. Ctrl-C is for the one that started them, which then lets them end what they do."""
    return ProcessPoolExecutor(workers, initializer=attend)


def attend() -> None:
    """To be called first in a helping process. Without it, it would wait for work of a killed one for ever."""
    signal(SIGINT, SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        wait([parent.sentinel])
        os._exit(1)
