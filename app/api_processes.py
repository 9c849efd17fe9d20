"""The processes of one API, each of which is started again when it dies."""

from uvicorn.supervisors import Multiprocess


class ApiProcesses(Multiprocess):
    """Hears at once of a process that dies while it is asked whether it is well.

    uvicorn holds the process's end of the pipe, too, so that nothing tells it that no answer will come: it waits for as
    long as for a process that is slow, and nobody takes the dead one's place.
    """

    def init_processes(self) -> None:
        super().init_processes()
        self._let_go()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        self._let_go()

    def _let_go(self) -> None:
        for process in self.processes:
            process.child_conn.close()
