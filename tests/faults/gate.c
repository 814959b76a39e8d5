/* LD_PRELOAD for fault tests: stops one rank in front of a change to the disk, and turns the clock.

   GATE=RANK|PATTERN|FIRST|LAST|FOLDER: of the calls of this rank that change a file and match the pattern as "call path",
   number FIRST to LAST write that text to FOLDER/reached-N and wait until FOLDER/go-N is there.
   CLOCK=FILE: the time of day is as many seconds ahead as the file says; where it is not there, right. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WAITS 1200 /* of 50 ms */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int is_there(const char *path) {
  struct stat facts;
  return REAL(stat)(path, &facts) == 0;
}

static void stand(const char *text, const char *folder, int number) {
  char mark[PATH_MAX], key[PATH_MAX], half[PATH_MAX];
  snprintf(half, sizeof half, "%s/.reached-%d", folder, number);
  snprintf(mark, sizeof mark, "%s/reached-%d", folder, number);
  snprintf(key, sizeof key, "%s/go-%d", folder, number);
  FILE *file = REAL(fopen)(half, "w");
  if (!file) return;
  fprintf(file, "%s\n", text);
  fclose(file);
  REAL(rename)(half, mark);
  struct timespec moment = {0, 50000000};
  for (int i = 0; i < WAITS && !is_there(key); i++) nanosleep(&moment, NULL);
}

static void pass(const char *call, int at, const char *path) {
  static int count = 0;
  char wanted[PATH_MAX], text[2 * PATH_MAX], base[PATH_MAX] = "", link[64];
  const char *gate = getenv("GATE"), *rank = getenv("RANK");
  if (!gate || !rank || !path) return;
  snprintf(wanted, sizeof wanted, "%s", gate);
  char *rest = wanted, *of = strsep(&rest, "|"), *pattern = strsep(&rest, "|");
  char *first = strsep(&rest, "|"), *last = strsep(&rest, "|");
  if (!rest || strcmp(of, rank)) return;
  if (path[0] != '/' && at != AT_FDCWD) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    if (readlink(link, base, sizeof base - 2) < 0) return;
    strcat(base, "/");
  }
  snprintf(text, sizeof text, "%s %s%s", call, base, path);
  if (fnmatch(pattern, text, 0)) return;
  pthread_mutex_lock(&lock);
  int number = ++count;
  pthread_mutex_unlock(&lock);
  if (number >= atoi(first) && number <= atoi(last)) stand(text, rest, number);
}

static void pass_open(int at, const char *path, int flags) {
  if ((flags & O_ACCMODE) != O_RDONLY) pass("open", at, path);
}

static mode_t mode_of(int flags, va_list rest) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                   \
  int name(const char *path, int flags, ...) {       \
    va_list rest;                                    \
    va_start(rest, flags);                           \
    mode_t mode = mode_of(flags, rest);              \
    va_end(rest);                                    \
    pass_open(AT_FDCWD, path, flags);                \
    return REAL(name)(path, flags, mode);            \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                   \
  int name(int at, const char *path, int flags, ...) { \
    va_list rest;                                      \
    va_start(rest, flags);                             \
    mode_t mode = mode_of(flags, rest);                \
    va_end(rest);                                      \
    pass_open(at, path, flags);                        \
    return REAL(name)(at, path, flags, mode);          \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                      \
  FILE *name(const char *path, const char *mode) {                       \
    if (strpbrk(mode, "wa+")) pass("open", AT_FDCWD, path);              \
    return REAL(name)(path, mode);                                       \
  }
FOPEN(fopen)
FOPEN(fopen64)

int rename(const char *old, const char *new) {
  pass("rename to", AT_FDCWD, new);
  return REAL(rename)(old, new);
}

int renameat(int from, const char *old, int at, const char *new) {
  pass("rename to", at, new);
  return REAL(renameat)(from, old, at, new);
}

int link(const char *old, const char *new) {
  pass("link", AT_FDCWD, new);
  return REAL(link)(old, new);
}

int mkdir(const char *path, mode_t mode) {
  pass("mkdir", AT_FDCWD, path);
  return REAL(mkdir)(path, mode);
}

int unlink(const char *path) {
  pass("unlink", AT_FDCWD, path);
  return REAL(unlink)(path);
}

int unlinkat(int at, const char *path, int flags) {
  pass("unlink", at, path);
  return REAL(unlinkat)(at, path, flags);
}

int rmdir(const char *path) {
  pass("rmdir", AT_FDCWD, path);
  return REAL(rmdir)(path);
}

int fsync(int file) {
  pass("fsync", file, ".");
  return REAL(fsync)(file);
}

static long ahead(void) {
  const char *path = getenv("CLOCK");
  FILE *file = path && is_there(path) ? REAL(fopen)(path, "r") : NULL;
  long seconds = 0;
  if (!file) return 0;
  if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
  fclose(file);
  return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int code = REAL(clock_gettime)(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += ahead();
  return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int code = REAL(gettimeofday)(now, zone);
  now->tv_sec += ahead();
  return code;
}
