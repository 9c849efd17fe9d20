"""A job's process whose handlers are those of the machine's tests."""

import sys

from worker.processes.process import main

if __name__ == "__main__":
    sys.exit(main({"pretrain": "tests.integration.machine.handlers:count"}))
