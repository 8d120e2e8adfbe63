// The machine's users and groups, read from its files: no library, no service of the image.
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_FILE_SIZE (1 << 20)
#define FIRST_UID 1000
#define PASSWD "/etc/passwd"
#define GROUP "/etc/group"

// Programs in the machine may have put anything in the place of its files, e.g. a pipe.
static FILE *open_table(const char *path) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return NULL;
  FILE *file = NULL;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= MOST_FILE_SIZE)
    file = fdopen(fd, "r");
  if (!file) close(fd);
  return file;
}

static bool find_own_user(const char *name, struct user *user) {
  char own[64];
  name_of(false, geteuid(), own);
  if (strcmp(name, "root") != 0 && strcmp(name, "user") != 0 && strcmp(name, own) != 0) return false;
  user->uid = geteuid();
  user->gid = getegid();
  snprintf(user->name, sizeof user->name, "%s", name);
  snprintf(user->home, sizeof user->home, "%s", options.home);
  return true;
}

bool find_user(const char *name, struct user *user) {
  if (name[0] == 0) name = "user";
  if (options.home) return find_own_user(name, user);
  FILE *file = open_table(PASSWD);
  struct passwd *entry;
  bool is_found = false;
  while (file && !is_found && (entry = fgetpwent(file))) {
    if (strcmp(entry->pw_name, name) != 0) continue;
    bool fits = strlen(entry->pw_name) < sizeof user->name && strlen(entry->pw_dir) < sizeof user->home;
    if (!fits) break;
    user->uid = entry->pw_uid;
    user->gid = entry->pw_gid;
    strcpy(user->name, entry->pw_name);
    strcpy(user->home, entry->pw_dir[0] == '/' ? entry->pw_dir : "/");
    is_found = true;
  }
  if (file) fclose(file);
  return is_found;
}

static bool has_member(const struct group *group, const char *name) {
  for (char **member = group->gr_mem; *member; member++)
    if (strcmp(*member, name) == 0) return true;
  return false;
}

int groups_of(const struct user *user, gid_t *groups, int most) {
  FILE *file = open_table(GROUP);
  struct group *entry;
  int count = 0;
  groups[count++] = user->gid;
  while (file && count < most && (entry = fgetgrent(file)))
    if (entry->gr_gid != user->gid && has_member(entry, user->name)) groups[count++] = entry->gr_gid;
  if (file) fclose(file);
  return count;
}

static bool look_up_name(bool is_group, unsigned id, char name[64]) {
  FILE *file = open_table(is_group ? GROUP : PASSWD);
  const char *found = NULL;
  while (file && !found) {
    struct group *group = is_group ? fgetgrent(file) : NULL;
    struct passwd *user = is_group ? NULL : fgetpwent(file);
    if (!group && !user) break;
    if (group && group->gr_gid == id) found = group->gr_name;
    if (user && user->pw_uid == id) found = user->pw_name;
  }
  if (found) snprintf(name, 64, "%s", found);
  if (file) fclose(file);
  return found;
}

// A directory's entries mostly have the same owner: the last answer is good for a moment.
void name_of(bool is_group, unsigned id, char name[64]) {
  static struct {
    unsigned id;
    int64_t until;
    char name[64];
  } last[2];
  int64_t now = monotonic_milliseconds();
  if (last[is_group].id != id || last[is_group].until < now) {
    last[is_group].id = id;
    last[is_group].until = now + 100;
    if (!look_up_name(is_group, id, last[is_group].name)) snprintf(last[is_group].name, 64, "%u", id);
  }
  strcpy(name, last[is_group].name);
}

static bool has_id(unsigned id) {
  char name[64];
  return look_up_name(false, id, name) || look_up_name(true, id, name);
}

static bool append_line(const char *path, const char *line) {
  char last = '\n';
  int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  off_t size = lseek(fd, 0, SEEK_END);
  if (size > 0 && pread(fd, &last, 1, size - 1) != 1) last = '\n';
  bool is_written =
      (last == '\n' || write(fd, "\n", 1) == 1) && write(fd, line, strlen(line)) == (ssize_t)strlen(line);
  close(fd);
  return is_written;
}

// The password `*` matches nothing and keeps PAM from looking for an entry in /etc/shadow.
static bool add_user(void) {
  char line[128];
  unsigned id = FIRST_UID;
  while (id < 2 * FIRST_UID && has_id(id)) id++;
  const char *shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
  snprintf(line, sizeof line, "user:x:%u:\n", id);
  if (!append_line(GROUP, line)) return false;
  snprintf(line, sizeof line, "user:*:%u:%u::/home/user:%s\n", id, id, shell);
  return append_line(PASSWD, line);
}

void ensure_user(void) {
  struct user user, root = {0};
  mkdir("/etc", 0755);
  if (!find_user("root", &user)) append_line(PASSWD, "root:x:0:0:root:/root:/bin/sh\n");
  if (!find_user("user", &user) && (!add_user() || !find_user("user", &user))) {
    fprintf(stderr, "agent: cannot add the user `user` to %s: %s\n", PASSWD, strerror(errno));
    return;
  }
  struct stat info;
  if (stat(user.home, &info) == 0) return;
  make_parents(user.home, &root);
  if (mkdir(user.home, 0755) < 0 || chown(user.home, user.uid, user.gid) < 0)
    fprintf(stderr, "agent: cannot make %s: %s\n", user.home, strerror(errno));
}
