/* Preloaded before libfaketime in a run on another clock (tests/clock.py). Calls that must not be faked go to the kernel.
 *
 * epoll_wait: a signal handler that interrupts a wait which libfaketime has wrapped reads the true time. PostgreSQL's timers
 * (deadlock_timeout, lock_timeout, statement_timeout) read it there, seem not to be due for a year, and never end anything.
 *
 * clock_gettime of a process's CPU clock (a negative id, clock_getcpuclockid(3)): libfaketime moves that too, so to the
 * agent a child that has just started would seem to have worked for a year. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SIGNAL_SET_BYTES 8

int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
{
    return syscall(SYS_epoll_pwait, epfd, events, maxevents, timeout, NULL, SIGNAL_SET_BYTES);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
    static int (*faked)(clockid_t, struct timespec *);

    if (clock < 0)
        return syscall(SYS_clock_gettime, clock, at);
    if (!faked)
        faked = dlsym(RTLD_NEXT, "clock_gettime");
    return faked(clock, at);
}
