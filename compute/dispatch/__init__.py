"""Pure scheduling policy: no ORM, no clock, no I/O. Run unchanged by the workers and by the simulator."""
