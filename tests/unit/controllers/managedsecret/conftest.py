"""Workers wait for background jobs, however busy the machine is."""

from tests.support.worker_wait import impatient, patient

__all__ = ["impatient", "patient"]
