// The agent: the first process of a machine. ../PROTOCOL.md says what it speaks.
#pragma once
#define _GNU_SOURCE
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VERSION 1
#define MOST_CHANNELS 8
#define MOST_CALLS 1024
#define MOST_PROCESSES 256
#define MOST_ENDED 2048
#define MOST_WATCHES 64
#define MOST_PAYLOAD 65536
#define MOST_ARGUMENTS (1 << 20)
#define FIRST_CREDIT 262144

enum frame { HELLO = 1, OPEN, DATA, STDERR, END, CREDIT, CANCEL, MESSAGE, DONE, ERROR };

enum code {
  INVALID_ARGUMENT = 1,
  NOT_FOUND,
  ALREADY_EXISTS,
  UNAUTHENTICATED,
  RESOURCE_EXHAUSTED,
  FAILED_PRECONDITION,
  INTERNAL,
  UNIMPLEMENTED,
  PERMISSION_DENIED,
};

// channel/wire.c: bytes that are built, and arguments that are read.

// A failed allocation sets has_failed; what is added after it is dropped.
struct buffer {
  uint8_t *bytes;
  size_t length, capacity;
  bool has_failed;
};
bool buffer_reserve(struct buffer *, size_t more);
void buffer_free(struct buffer *);
void put_bytes(struct buffer *, const void *, size_t);
void put_u8(struct buffer *, uint8_t);
void put_u32(struct buffer *, uint32_t);
void put_u64(struct buffer *, uint64_t);
void put_string(struct buffer *, const char *);

// Arguments that end too early set has_failed; what is read after it is 0 or empty.
struct reader {
  uint8_t *next, *end;
  bool has_failed;
};
uint8_t read_u8(struct reader *);
uint16_t read_u16(struct reader *);
uint32_t read_u32(struct reader *);
uint64_t read_u64(struct reader *);
// Ends the string with a NUL in its place: it lives as long as the arguments.
char *read_string(struct reader *);
// Returns strings up to a NULL, to be freed; NULL sets has_failed or is out of memory.
char **read_strings(struct reader *, uint32_t strings_per_item);

// loop.c: the event loop.

struct source {
  int fd;
  uint32_t events;
  void (*ready)(struct source *, uint32_t events);
};
bool source_open(struct source *, int fd, uint32_t events);
void source_want(struct source *, uint32_t events);
void source_close(struct source *);
int64_t monotonic_milliseconds(void);
int serve(void);

struct options {
  const char *home;  // for tests: all users are the current one, with this home; else NULL
  const char *socket_path;
  const char *peer;  // whom to dial instead of listening; NULL: nobody
  bool denies_privileges;  // sudo and its like don't work
  bool detaches;           // serves in the background
};
extern struct options options;

// channel/channel.c: connections to the server.

struct call;
struct channel {
  struct source source;
  struct channel *next;
  struct call *calls;
  uint8_t *in;
  size_t in_start, in_end, in_capacity;
  struct buffer out;
  size_t out_start;
  bool is_broken, was_full;
  bool has_window;
  uint32_t window;  // bytes that may be sent, if has_window
  int64_t heard_at;
};
void channel_accept(int listener);
// A window of 0 is none: the peer takes bytes as fast as its socket does.
void channel_open(int fd, uint32_t window);
bool channel_exists(void);
void channels_say_alive(void);
void channels_sweep(void);
// The channel and its calls live on until channels_sweep: callers may be walking through them.
void channel_break(struct channel *);
void channel_send(struct channel *, uint32_t call, enum frame, const void *, size_t);
bool channel_is_full(const struct channel *);
void channel_update(struct channel *);

// channel/dial.c

// Takes `vsock:PORT` of the host, or `unix:PATH`. Returns whether it understands it.
bool dial_peer(const char *words);
// Dials unless there is a channel; returns milliseconds until the next step, or -1.
int dial_tick(void);

// channel/call.c: calls of a channel, and credit.

struct call_kind {
  uint32_t unit;  // credit that a step needs; 0 counts as 1
  void (*data)(struct call *, const uint8_t *, size_t);
  void (*end)(struct call *);
  void (*step)(struct call *);    // does a bounded piece of work, while is_busy
  void (*resume)(struct call *);  // there is credit or room again
  void (*close)(struct call *);   // releases what the call holds
};
struct call {
  struct call *next;
  struct channel *channel;
  const struct call_kind *kind;
  uint32_t number;
  uint32_t credit;     // bytes that the agent may send
  uint32_t allowance;  // bytes that the server may send
  uint32_t consumed;   // bytes taken and not yet granted again
  uint32_t pending;    // bytes received and not yet written
  bool is_busy, has_ended, must_resume;
  struct process *process;
  struct call *next_of_process;
  void *state;
};
// Handles a frame of the server.
void call_receive(struct channel *, uint32_t number, uint8_t type, uint8_t *payload, size_t);
bool call_has_credit(const struct call *);
// Whether there is credit, and room in the channel.
bool call_can_send(const struct call *);
void call_send(struct call *, enum frame, const void *, size_t);
void call_message(struct call *, struct buffer *);
void call_consumed(struct call *, size_t);
void call_set_busy(struct call *, bool);
// These end the call: it no longer exists afterwards.
void call_end(struct call *);
void call_done(struct call *, const void *, size_t);
void call_done_buffer(struct call *, struct buffer *);
void call_fail(struct call *, enum code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void call_fail_path(struct call *, int error, const char *path);
// The same for an error of make_parents or make_directories.
void fail_parents(struct call *, int error, const char *path);
// Describes an error number for a user, and says which code it has.
enum code describe_error(int error, const char *path, char *message, size_t size);

typedef void operation(struct call *, struct reader *);
operation op_start, op_connect, op_list, op_signal, op_resize, op_input, op_close_input, op_output;
operation op_stat, op_read_directory, op_make_directory, op_move, op_remove, op_read, op_write;
operation op_watch, op_sync, op_disk, op_dial, op_network;

// process/log.c: the newest output, in a ring.

enum log_source { LOG_STDOUT = 1, LOG_STDERR, LOG_TERMINAL };
#define MOST_RECORD 4096
struct record {
  int64_t time;  // milliseconds since 1970
  uint32_t pid;
  uint16_t length;
  uint8_t source;
};
struct log;
struct log *log_new(size_t capacity);
void log_add(struct log *, uint32_t pid, enum log_source, const uint8_t *, size_t);
// Reads the record at the cursor, or the oldest after it, and moves the cursor on.
bool log_next(struct log *, uint64_t *cursor, struct record *, uint8_t bytes[MOST_RECORD]);

// process/process.c: processes, their output and their end. input.c: what they read.

struct stream {
  struct source source;
  struct process *process;
  enum frame frame;
  enum log_source kind;
  uint32_t left;  // bytes that are still read after a signal has ended the process
};
struct input {
  struct source source;
  struct process *process;
  struct chunk *first, *last;
  struct call *calls;
  bool closes;  // once everything has been written
};
struct process {
  struct process *next;
  pid_t pid;
  char *tag;
  struct buffer description;  // the MESSAGE of LIST
  struct stream out, err;
  struct input in;
  struct call *listeners;
  struct log *backlog;
  bool has_terminal, has_ended, was_signalled, must_update;
  int status;
  int64_t deadline;  // 0: none
  int64_t forgotten_at;
};
// Takes over the descriptors (-1: none) and what the process points to.
void process_add(struct process *, int in, int out, int err);
unsigned process_count(void);
// The newest first, linked by `next`.
struct process *processes_running(void);
// What all processes printed; NULL: nothing yet.
struct log *processes_output(void);
// Reads on if there is credit again, and ends the process's calls if it is over.
void process_update(struct process *);
// process/signal.c. Returns 0 or errno.
int process_signal(struct process *, int signal);
void process_announce(struct process *, struct call *);
void process_listen(struct process *, struct call *);
void process_reap(pid_t, int status);
// Handles deadlines that have passed; returns milliseconds until the next, or -1.
int process_tick(void);
void processes_kill_all(void);
struct process *process_find(struct call *, struct reader *);
void input_open(struct process *, int fd);
// Closes the process's input. Calls fail whose bytes it has not taken; others may still end well.
void input_close(struct process *);

// files/users.c

struct user {
  char name[64];
  uid_t uid;
  gid_t gid;
  char home[256];
};
bool find_user(const char *name, struct user *);
int groups_of(const struct user *, gid_t *groups, int most);
// Writes the name of an id, or its number.
void name_of(bool is_group, unsigned id, char name[64]);
void ensure_user(void);

// process/start.c

// Lets the agent open as many files as it may; commands get the limit from before.
void raise_limits(void);
void close_from(int first);
// After a fork: resets signals, and makes this process the one that the kernel ends, and not the
// agent, when memory is short.
void become_child(void);

// process/ends.c

// What the agent keeps and what the child gets; -1: none.
struct ends {
  int in, out, err, child_in, child_out, child_err;
};
struct winsize;
bool open_pipes(struct ends *, bool has_input);
// Gives the terminal to the user. Sets a size of 0 to the usual one.
bool open_terminal(struct ends *, const struct user *, struct winsize *);
void close_child_ends(struct ends *);
void close_agent_ends(struct ends *);

// files/paths.c

bool resolve_path(const struct user *, const char *path, char out[PATH_MAX]);
// Reads the user and a path. On failure it has ended the call.
bool read_user(struct call *, struct reader *, struct user *);
bool read_path(struct call *, struct reader *, const struct user *, char out[PATH_MAX]);
// Makes missing directories above the path, or all of it, and gives them to the user. 0 or errno.
int make_parents(const char *path, const struct user *);
int make_directories(const char *path, const struct user *);
// Adds an entry. 0 or errno.
int put_entry(struct buffer *, const char *path);
void done_entry(struct call *, const char *path);

// files/watch.c

// Sends what watches have noticed and not yet sent: a request's answer comes after the changes before it.
void watches_report(void);

// files/task.c: work on whole trees, in a child of the agent, so that other calls go on meanwhile.

// Runs in the child. Reports by task_message, then returns the path of an entry that is the result,
// or NULL: there is none.
typedef const char *task(void *argument);
void call_task(struct call *, task *, void *argument);
void task_message(struct buffer *);
// Ends the child with an error.
_Noreturn void task_fail(enum code, const char *message);
_Noreturn void task_fail_path(int error, const char *path);

// files/trees.c, for tasks. 0 or errno.

int remove_tree(const char *path);
int copy_tree(const char *from, const char *to);

int relay(const char *socket_path);
