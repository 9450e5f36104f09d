/* Fails or kills a process at the n-th call that changes a folder: for proofs, never for use.
 *
 * Preloaded (LD_PRELOAD). Nothing happens until faults_arm() is called; then every write, rename,
 * sync, removal, creation, truncation and link below `root` is counted, and the n-th one is
 *   'k'  followed by SIGKILL instead of being done,
 *   'h'  half done (a write of half the bytes), then SIGKILL,
 *   'a'  done, then SIGKILL,
 *   's'  refused with ENOSPC, and so are all later writes,
 *   'o'  refused with ENOSPC, once,
 *   'e'  refused with EIO, once,
 *   '-'  only counted.
 * Libraries in the process (SQLite, Arrow) are seen as Python is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[4096];
static size_t root_length;
static long seen, wanted;
static char action;
static int armed, refused;

void faults_arm(const char *folder, long n, char what) {
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    seen = 0; wanted = n; action = what; refused = 0; armed = 1;
}
/* Processes that a run starts cannot be reached by a call: they are armed by their environment. */
__attribute__((constructor)) static void arm_from_environment(void) {
    const char *folder = getenv("FAULTS_ROOT"), *n = getenv("FAULTS_NUMBER");
    const char *what = getenv("FAULTS_ACTION");
    if (folder && n && what) faults_arm(folder, atol(n), *what);
}
long faults_seen(void) { return seen; }
void faults_disarm(void) { armed = 0; }

static int below(const char *path) {
    char full[4096];
    if (path && path[0] != '/') {
        if (!getcwd(full, sizeof full)) return 0;
        strncat(full, "/", sizeof full - strlen(full) - 1);
        strncat(full, path, sizeof full - strlen(full) - 1);
        path = full;
    }
    return path && !strncmp(path, root, root_length);
}

static int fd_below(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

/* What to do with this call: 0 go on, 1 refuse (errno is set), 2 go on and die after it, 3 halve. */
static int judge(int counts, int is_write) {
    if (!armed || !counts) return 0;
    if (refused && is_write) { errno = ENOSPC; return 1; }
    if (++seen != wanted) return 0;
    switch (action) {
    case 'k': die();
    case 'h': return 3;
    case 'a': return 2;
    case 's': refused = 1; errno = ENOSPC; return 1;
    case 'o': errno = ENOSPC; return 1;
    case 'e': errno = EIO; return 1;
    default: return 0;
    }
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)
#define PLAIN(type, name, parameters, call, where) \
    type name parameters { \
        REAL(name); \
        int verdict = armed ? judge(where, 0) : 0; \
        if (verdict == 1) return (type)-1; \
        type result = real call; \
        if (verdict >= 2) die(); \
        return result; \
    }

ssize_t write(int fd, const void *data, size_t count) {
    REAL(write);
    int verdict = armed ? judge(fd_below(fd), 1) : 0;
    if (verdict == 1) return -1;
    ssize_t result = real(fd, data, verdict == 3 ? count / 2 : count);
    if (verdict >= 2) die();
    return result;
}
#define PWRITE(name, offset) \
    ssize_t name(int fd, const void *data, size_t count, offset at) { \
        REAL(name); \
        int verdict = armed ? judge(fd_below(fd), 1) : 0; \
        if (verdict == 1) return -1; \
        ssize_t result = real(fd, data, verdict == 3 ? count / 2 : count, at); \
        if (verdict >= 2) die(); \
        return result; \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    int verdict = armed ? judge(fd_below(fd), 1) : 0;
    if (verdict == 1) return -1;
    ssize_t result = real(fd, parts, count);
    if (verdict >= 2) die();
    return result;
}
PLAIN(int, fsync, (int fd), (fd), fd_below(fd))
PLAIN(int, fdatasync, (int fd), (fd), fd_below(fd))
PLAIN(int, ftruncate, (int fd, off_t size), (fd, size), fd_below(fd))
PLAIN(int, ftruncate64, (int fd, off64_t size), (fd, size), fd_below(fd))
PLAIN(int, rename, (const char *from, const char *to), (from, to), below(to) || below(from))
PLAIN(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), below(to))
PLAIN(int, renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
      (a, from, b, to, flags), below(to))
PLAIN(int, unlink, (const char *path), (path), below(path))
PLAIN(int, rmdir, (const char *path), (path), below(path))
PLAIN(int, mkdir, (const char *path, mode_t mode), (path, mode), below(path))
PLAIN(int, symlink, (const char *to, const char *path), (to, path), below(path))
PLAIN(int, link, (const char *from, const char *to), (from, to), below(to))

/* Removals below an open folder (shutil.rmtree) and files that are created. */
static int at_below(int fd, const char *path) {
    return path && path[0] == '/' ? below(path) : fd == AT_FDCWD ? below(path) : fd_below(fd);
}
PLAIN(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), at_below(fd, path))

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); \
        } \
        int verdict = armed && (flags & O_CREAT) ? judge(below(path), 0) : 0; \
        if (verdict == 1) return -1; \
        int result = real(path, flags, mode); \
        if (verdict >= 2) die(); \
        return result; \
    }
OPEN(open)
OPEN(open64)
