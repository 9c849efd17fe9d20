"""One process of a crew: does its device's part of a job. Only the first of them reports, saves and publishes."""

import logging
import os
import select
import signal
import sys
import threading
from pathlib import Path

import torch.distributed as collective

from app.ml.tensors.device import chosen
from app.settings import settings
from worker.processes.crew import ORDER, STATUS
from worker.processes.process import HANDLERS, Order, carry_out
from worker.step.devices import Devices


def main() -> int:
    """Joins the others, carries out the order they share, and leaves its exit status where the leader looks."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = threading.Event()
    first = os.environ["RANK"] == "0"  # the leash holds while the others are waited for, too
    threading.Thread(target=hold_leash, args=(first, stop), name="leash", daemon=True).start()
    devices = Devices.joined(chosen(settings().device).type)
    status = carry_out(Order.read(os.environ[ORDER].encode()), HANDLERS, stop, quiet=not devices.first)
    if devices.first:
        Path(os.environ[STATUS]).write_text(str(status))
    collective.destroy_process_group()
    return 0


def hold_leash(reads: bool, stop: threading.Event) -> None:
    """Waits for the wish to leave, which one member hears for all; kills this one when the leader is gone."""
    if reads:
        while os.read(0, 64):
            stop.set()
    else:
        hangup = select.poll()
        hangup.register(0, 0)  # its end is always told
        hangup.poll()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
