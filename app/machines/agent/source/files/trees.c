// Removing and copying whole trees. Runs in a child of the agent, so it may change its directory.
#include "../agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

// The way up from the directory that is being emptied: what is above it, and its name there.
struct level {
  struct level *above;
  dev_t device;
  ino_t inode;
  char name[NAME_MAX + 1];
};

static int enter(struct level **way, const char *name) {
  struct stat info;
  struct level *level = malloc(sizeof *level);
  int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (!level || fd < 0 || stat(".", &info) < 0 || fchdir(fd) < 0) return errno;
  close(fd);
  *level = (struct level){.above = *way, .device = info.st_dev, .inode = info.st_ino};
  snprintf(level->name, sizeof level->name, "%s", name);
  *way = level;
  return 0;
}

// A program may move the directory meanwhile: then `..` is a place where nothing may be removed.
static int leave(struct level **way) {
  struct stat info;
  struct level *level = *way;
  if (chdir("..") < 0 || stat(".", &info) < 0) return errno;
  if (info.st_dev != level->device || info.st_ino != level->inode) return EBUSY;
  if (rmdir(level->name) < 0 && errno != ENOENT) return errno;
  *way = level->above;
  free(level);
  return 0;
}

// Removes one thing of the current directory, or enters it if it is a directory that isn't empty.
static int remove_one(struct level **way, const char *name, bool *has_entered) {
  if (unlink(name) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR) return errno;
  if (rmdir(name) == 0) return 0;
  if (errno != ENOTEMPTY && errno != EEXIST) return errno;
  *has_entered = true;
  return enter(way, name);
}

static int remove_some(struct level **way, bool *has_entered) {
  int error = 0;
  struct dirent *entry;
  DIR *directory = opendir(".");
  if (!directory) return errno;
  while (!error && !*has_entered && (entry = readdir(directory)))
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      error = remove_one(way, entry->d_name, has_entered);
  closedir(directory);
  return error;
}

// Holds one directory open, and works with names only: a tree may be deeper than any limit.
int remove_tree(const char *path) {
  char parent[PATH_MAX];
  struct level *way = NULL;
  bool has_entered = false;
  strcpy(parent, path);
  char *name = strrchr(parent, '/');
  *name++ = 0;
  if (chdir(parent[0] ? parent : "/") < 0) return errno;
  int error = remove_one(&way, name, &has_entered);
  while (!error && way) {
    has_entered = false;
    error = remove_some(&way, &has_entered);
    if (!error && !has_entered) error = leave(&way);
  }
  return error;
}

static int copy_content(const char *from, const char *to) {
  int in = open(from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC),
      out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ssize_t sent = in >= 0 && out >= 0 ? 1 : -1;
  while (sent > 0) sent = sendfile(out, in, NULL, 1 << 20);
  int error = sent < 0 ? errno : 0;
  close(in);
  close(out);
  return error;
}

static int copy_link(const char *from, const char *to) {
  char target[PATH_MAX];
  ssize_t length = readlink(from, target, sizeof target - 1);
  if (length < 0) return errno;
  target[length] = 0;
  return symlink(target, to) < 0 ? errno : 0;
}

// Attributes that may not be set here, e.g. those of security modules, are left behind.
static void copy_attributes(const char *from, const char *to) {
  static char names[65536], value[65536];
  ssize_t size = llistxattr(from, names, sizeof names);
  for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
    ssize_t length = lgetxattr(from, name, value, sizeof value);
    if (length >= 0) lsetxattr(to, name, value, (size_t)length, 0);
  }
}

static int copy_owner_and_times(const struct stat *info, const char *to) {
  struct timespec times[2] = {info->st_atim, info->st_mtim};
  if (lchown(to, info->st_uid, info->st_gid) < 0) return errno;
  if (!S_ISLNK(info->st_mode) && chmod(to, info->st_mode & 07777) < 0) return errno;
  return utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

// The two paths, which grow and shrink while the tree is walked.
struct copy {
  char from[PATH_MAX], to[PATH_MAX];
};

static int copy_one(struct copy *copy);

static int copy_children(struct copy *copy) {
  size_t from = strlen(copy->from), to = strlen(copy->to);
  struct dirent **entries;
  int error = mkdir(copy->to, 0700) < 0 ? errno : 0;
  int count = error ? 0 : scandir(copy->from, &entries, NULL, NULL);
  if (error || count < 0) return error ? error : errno;
  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (!is_dots && !error) {
      int length = snprintf(copy->from + from, PATH_MAX - from, "/%s", name);
      int other = snprintf(copy->to + to, PATH_MAX - to, "/%s", name);
      error =
          from + (size_t)length >= PATH_MAX || to + (size_t)other >= PATH_MAX ? ENAMETOOLONG : copy_one(copy);
    }
    free(entries[i]);
  }
  free(entries);
  copy->from[from] = copy->to[to] = 0;
  return error;
}

static int copy_one(struct copy *copy) {
  struct stat info;
  if (lstat(copy->from, &info) < 0) return errno;
  int error;
  if (S_ISDIR(info.st_mode)) error = copy_children(copy);
  else if (S_ISLNK(info.st_mode)) error = copy_link(copy->from, copy->to);
  else if (S_ISREG(info.st_mode)) error = copy_content(copy->from, copy->to);
  else error = mknod(copy->to, info.st_mode, info.st_rdev) < 0 ? errno : 0;
  if (error) return error;
  copy_attributes(copy->from, copy->to);
  return copy_owner_and_times(&info, copy->to);
}

int copy_tree(const char *from, const char *to) {
  static struct copy copy;
  strcpy(copy.from, from);
  strcpy(copy.to, to);
  return copy_one(&copy);
}
