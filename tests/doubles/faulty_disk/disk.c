// A disk that fails: preloaded before libc, it counts the calls that change something below one
// folder and, at the n-th of them, kills the process or answers an error instead.
//
// Nothing happens until disk_arm(). Every call and what it changed is written to a trace, from which
// power_cut.py computes what a disk would hold that keeps only what was synced.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, TEAR, FAIL };
enum { NO_LOCKS = 1 };  // what the file system does not know

static char root[PATH_MAX];
static size_t root_length;
static int mode, fault, lasting, lacks, trace = -1;
static long target;
static struct { long count; char hit[PATH_MAX + 32]; } *shared;  // the parent reads it after a kill

#define REAL(name) ((typeof(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

// Before the fork: what parent and child both see.
void disk_share(void) {
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
long disk_count(void) { return shared->count; }
const char *disk_hit(void) { return shared->hit; }
void disk_reset(void) { memset(shared, 0, sizeof *shared); }

void disk_arm(const char *folder, int what, long n, int number, int stays, int unknown, int file) {
    strncpy(root, folder, sizeof root - 1);
    mode = what, target = n, fault = number, lasting = stays, lacks = unknown, trace = file;
    root_length = strlen(root);
}

static int below(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

// The absolute path of a name, without links; 0 where it lies elsewhere.
static int place(int folder, const char *name, char *path) {
    if (!root_length || !name) return 0;
    char there[PATH_MAX] = "";
    if (name[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, there, sizeof there - 1);
        if (n < 0) return 0;
        there[n] = 0;
        strncat(there, "/", sizeof there - strlen(there) - 1);
    }
    snprintf(path, PATH_MAX, "%s%s", there, name);
    return below(path);
}

static int opened(int handle, char *path) {
    if (!root_length) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

static void put(const void *data, size_t length) {
    if (trace >= 0 && syscall(SYS_write, trace, data, length) != (ssize_t)length) abort();
}

// A line of the trace, and the bytes that a write wrote.
static void note(const char *what, long inode, long at, long length, const char *one,
                 const char *other, const void *data) {
    char line[2 * PATH_MAX + 128];
    int n = snprintf(line, sizeof line, "%s\t%ld\t%ld\t%ld\t%s\t%s\n", what, inode, at, length, one, other);
    put(line, n);
    if (data) put(data, length);
}

static long inode_of(int handle) {
    struct stat found;
    return fstat(handle, &found) ? 0 : (long)found.st_ino;
}

// Count a call; 1 where it fails with errno set, 2 where a write is to be torn.
static int point(const char *what, const char *path) {
    int lock = !strcmp(what, "flock"), removes = !strcmp(what, "unlink") || !strcmp(what, "rmdir");
    long n = __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST);
    note("point", 0, n, 0, path, what, 0);
    int now = n == target, later = lasting && n > target;
    if (mode == COUNT || !(now || later)) return 0;
    if (now) snprintf(shared->hit, sizeof shared->hit, "%s\t%s", what, path);
    if (mode == KILL) kill(getpid(), SIGKILL);
    if (mode == TEAR && strcmp(what, "write")) kill(getpid(), SIGKILL);
    if (mode == TEAR) return 2;
    if (lock || (lasting && fault == ENOSPC && removes)) return 0;  // a full disk frees its room
    errno = fault;
    return 1;
}

static int open_at(int folder, const char *name, int flags, mode_t bits) {
    char path[PATH_MAX];
    int unnamed = (flags & O_TMPFILE) == O_TMPFILE, changes = flags & (O_CREAT | O_TRUNC);
    if (!place(folder, name, path)) return syscall(SYS_openat, folder, name, flags, bits);
    if (unnamed) {  // network disks know no files without names
        errno = EOPNOTSUPP;
        return -1;
    }
    if (!changes) return syscall(SYS_openat, folder, name, flags, bits);
    struct stat found;
    int there = !fstatat(folder, name, &found, 0);
    if (point("open", path)) return -1;
    int handle = syscall(SYS_openat, folder, name, flags, bits);
    if (handle >= 0 && (!there || flags & O_TRUNC))
        note(there ? "empty" : "new", inode_of(handle), 0, 0, path, "", 0);
    return handle;
}

#define MODE mode_t bits = 0; if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; \
    va_start(more, flags); bits = va_arg(more, mode_t); va_end(more); }
int open(const char *name, int flags, ...) { MODE return open_at(AT_FDCWD, name, flags, bits); }
int open64(const char *name, int flags, ...) { MODE return open_at(AT_FDCWD, name, flags, bits); }
int openat(int f, const char *name, int flags, ...) { MODE return open_at(f, name, flags, bits); }
int openat64(int f, const char *name, int flags, ...) { MODE return open_at(f, name, flags, bits); }

static ssize_t written(int handle, const void *data, size_t length, off_t at, int here) {
    char path[PATH_MAX];
    struct stat found;
    int ours = opened(handle, path);
    if (ours) {
        int torn = point("write", path);
        if (torn == 1) return -1;
        if (fcntl(handle, F_GETFL) & O_APPEND) at = fstat(handle, &found) ? 0 : found.st_size;
        else if (here) at = lseek(handle, 0, SEEK_CUR);
        if (torn) length = (length + 1) / 2;
        ssize_t n = here ? syscall(SYS_write, handle, data, length)
                         : syscall(SYS_pwrite64, handle, data, length, at);
        if (torn) kill(getpid(), SIGKILL);
        if (n > 0) note("write", inode_of(handle), at, n, path, "", data);
        return n;
    }
    return here ? syscall(SYS_write, handle, data, length)
                : syscall(SYS_pwrite64, handle, data, length, at);
}
ssize_t write(int h, const void *data, size_t n) { return written(h, data, n, 0, 1); }
ssize_t pwrite(int h, const void *data, size_t n, off_t at) { return written(h, data, n, at, 0); }
ssize_t pwrite64(int h, const void *data, size_t n, off_t at) { return written(h, data, n, at, 0); }
ssize_t writev(int handle, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!opened(handle, path)) return syscall(SYS_writev, handle, parts, count);
    ssize_t all = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = written(handle, parts[i].iov_base, parts[i].iov_len, 0, 1);
        if (n < 0) return all ? all : n;
        all += n;
    }
    return all;
}

#define ON_HANDLE(what, call, args, word, at, length) { \
    char path[PATH_MAX]; \
    int ours = opened(handle, path); \
    if (ours && point(what, path)) return failed; \
    int answer = REAL(call) args; \
    if (ours && !answer) note(word, inode_of(handle), at, length, path, "", 0); \
    return answer; }

#define failed -1
int fsync(int handle) ON_HANDLE("fsync", fsync, (handle), "sync", 0, 0)
int fdatasync(int handle) ON_HANDLE("fsync", fdatasync, (handle), "sync", 0, 0)
int ftruncate(int handle, off_t size) ON_HANDLE("truncate", ftruncate, (handle, size), "size", 0, size)
int ftruncate64(int handle, off64_t size)
    ON_HANDLE("truncate", ftruncate64, (handle, size), "size", 0, size)
int fallocate(int handle, int how, off_t at, off_t size)
    ON_HANDLE("allocate", fallocate, (handle, how, at, size), "room", at, size)
int fallocate64(int handle, int how, off64_t at, off64_t size)
    ON_HANDLE("allocate", fallocate64, (handle, how, at, size), "room", at, size)
#undef failed
#define failed errno
int posix_fallocate(int handle, off_t at, off_t size)
    ON_HANDLE("allocate", posix_fallocate, (handle, at, size), "room", at, size)
int posix_fallocate64(int handle, off64_t at, off64_t size)
    ON_HANDLE("allocate", posix_fallocate64, (handle, at, size), "room", at, size)
#undef failed

int flock(int handle, int how) {
    char path[PATH_MAX];
    if (opened(handle, path)) {
        if (lacks & NO_LOCKS) {
            errno = ENOLCK;
            return -1;
        }
        point("flock", path);
    }
    return syscall(SYS_flock, handle, how);
}

// A close can fail where a disk is far away; the handle is gone all the same.
int close(int handle) {
    char path[PATH_MAX];
    int ours = root_length && (fcntl(handle, F_GETFL) & O_ACCMODE) != O_RDONLY && opened(handle, path);
    int fails = ours && point("close", path) == 1, number = errno;
    int answer = syscall(SYS_close, handle);
    if (!fails) return answer;
    errno = number;
    return -1;
}

#define ON_NAME(what, folder, name, call, word) { \
    char path[PATH_MAX]; \
    int ours = place(folder, name, path); \
    if (ours && point(what, path)) return -1; \
    int answer = call; \
    if (ours && !answer) note(word, 0, 0, 0, path, "", 0); \
    return answer; }

int unlink(const char *name) ON_NAME("unlink", AT_FDCWD, name, syscall(SYS_unlink, name), "unlink")
int unlinkat(int folder, const char *name, int flags)
    ON_NAME(flags ? "rmdir" : "unlink", folder, name, syscall(SYS_unlinkat, folder, name, flags),
            flags ? "rmdir" : "unlink")
int rmdir(const char *name) ON_NAME("rmdir", AT_FDCWD, name, syscall(SYS_rmdir, name), "rmdir")
int mkdir(const char *name, mode_t bits)
    ON_NAME("mkdir", AT_FDCWD, name, syscall(SYS_mkdir, name, bits), "mkdir")
int mkdirat(int folder, const char *name, mode_t bits)
    ON_NAME("mkdir", folder, name, syscall(SYS_mkdirat, folder, name, bits), "mkdir")
int truncate(const char *name, off_t size)
    ON_NAME("truncate", AT_FDCWD, name, syscall(SYS_truncate, name, size), "unknown")
int truncate64(const char *name, off64_t size)
    ON_NAME("truncate", AT_FDCWD, name, syscall(SYS_truncate, name, size), "unknown")
int symlink(const char *to, const char *name)
    ON_NAME("symlink", AT_FDCWD, name, syscall(SYS_symlink, to, name), "symlink")

#define ON_NAMES(what, from, one, to, other, call) { \
    char path[PATH_MAX], next[PATH_MAX] = ""; \
    int ours = place(from, one, path); \
    ours |= place(to, other, next); \
    if (ours && point(what, next)) return -1; \
    int answer = call; \
    if (ours && !answer) note(what, 0, 0, 0, path, next, 0); \
    return answer; }

int rename(const char *a, const char *b)
    ON_NAMES("rename", AT_FDCWD, a, AT_FDCWD, b, syscall(SYS_rename, a, b))
int renameat(int f, const char *a, int t, const char *b)
    ON_NAMES("rename", f, a, t, b, syscall(SYS_renameat2, f, a, t, b, 0))
int renameat2(int f, const char *a, int t, const char *b, unsigned flags)
    ON_NAMES("rename", f, a, t, b, syscall(SYS_renameat2, f, a, t, b, flags))
int link(const char *a, const char *b)
    ON_NAMES("link", AT_FDCWD, a, AT_FDCWD, b, syscall(SYS_link, a, b))
int linkat(int f, const char *a, int t, const char *b, int flags)
    ON_NAMES("link", f, a, t, b, syscall(SYS_linkat, f, a, t, b, flags))
