/* Preloaded before libfaketime in a run on another clock (tests/clock.py): epoll_wait by the kernel itself.
 *
 * A signal handler that interrupts a wait which libfaketime has wrapped is told the true time. PostgreSQL's timers (deadlock_timeout,
 * lock_timeout, statement_timeout) ask for it there, find that they are not due for a year, and never end anything. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNAL_SET_BYTES 8

int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    return syscall(SYS_epoll_pwait, epfd, events, maxevents, timeout, NULL, SIGNAL_SET_BYTES);
}
