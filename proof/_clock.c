/* A preloaded shim that lets a clock jump: all processes that have CLOCK_SHOWN see the present of
 * CLOCK_REALTIME moved by the nanoseconds that this file holds (8 bytes, native order), at once when
 * they change. Clocks that only measure (CLOCK_MONOTONIC), sleeps and the times of files stay as they
 * are, as they do when somebody sets a machine's clock. libfaketime does not do: where it leaves the
 * monotonic clock alone, its clock_nanosleep fails.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static volatile int64_t *shown;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SHOWN");
    int handle = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (handle < 0) return;
    void *place = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, handle, 0);
    close(handle);
    if (place != MAP_FAILED) shown = place;
}

int clock_gettime(clockid_t which, struct timespec *at) {
    if (syscall(SYS_clock_gettime, which, at)) return -1;
    if (!shown || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return 0;
    int64_t moved = at->tv_nsec + *shown % SECOND, whole = at->tv_sec + *shown / SECOND;
    if (moved < 0) moved += SECOND, whole -= 1;
    if (moved >= SECOND) moved -= SECOND, whole += 1;
    at->tv_sec = whole, at->tv_nsec = moved;
    return 0;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
    at->tv_sec = found.tv_sec, at->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *place) {
    struct timespec found;
    if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
    if (place) *place = found.tv_sec;
    return found.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, at) ? base : 0;
}
