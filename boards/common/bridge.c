// bridge FOLDER PROGRAM ARGUMENT...: runs an emulator whose serial line is its stdin and stdout, in FOLDER, behind the
// master end of a pseudo-terminal (descriptor PICOFED_LINE). As with a real cable: where nobody has the port open,
// output is lost; where somebody does not read, the board waits. The bridge ends as the emulator does, and takes it
// along (PR_SET_PDEATHSIG) when it dies or when process PICOFED_PARENT does.
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// Exit status of an emulator whose board lost its power.
#define EXIT_POWER_CUT 42
// How often to look for a host where the kernel grants no inotify instance.
#define LOOK_MS 20

typedef struct {
    size_t start, end;
    unsigned char bytes[4096];
} chunk_t;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int number(const char *name) {
    const char *value = getenv(name);
    return value != NULL ? atoi(value) : -1;
}

static void die_with_parent(pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
}

static bool is_empty(const chunk_t *chunk) {
    return chunk->start == chunk->end;
}

// Both return false where the other side is gone.
static bool fill(chunk_t *chunk, int fd) {
    ssize_t n = read(fd, chunk->bytes, sizeof(chunk->bytes));
    chunk->start = 0;
    chunk->end = n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool drain(chunk_t *chunk, int fd) {
    ssize_t n = write(fd, chunk->bytes + chunk->start, chunk->end - chunk->start);
    if (n > 0) {
        chunk->start += (size_t)n;
    }
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static int watch(int line) {
    char port[64];
    int opened = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (opened >= 0 && (ptsname_r(line, port, sizeof(port)) != 0 || inotify_add_watch(opened, port, IN_OPEN) < 0)) {
        close(opened);
        return -1;
    }
    return opened;
}

// Until the emulator closes its output. Everything is non-blocking.
static void carry(int line, int input, int output) {
    static chunk_t to_board, to_host;
    // The watch comes before the first look at the port, so that no opening is missed. One too many does no harm.
    int opened = watch(line);
    bool connected = true;
    for (bool running = true; running;) {
        short events = 0;
        events |= is_empty(&to_board) ? POLLIN : 0;
        events |= is_empty(&to_host) ? 0 : POLLOUT;
        // A descriptor that nothing is wanted of is left out: its hang-up would be reported over and over.
        struct pollfd p[4] = {
            {.fd = connected && events ? line : -1, .events = events},
            {.fd = connected ? -1 : opened, .events = POLLIN},
            {.fd = is_empty(&to_board) ? -1 : input, .events = POLLOUT},
            {.fd = is_empty(&to_host) ? output : -1, .events = POLLIN},
        };
        bool look = !connected && opened < 0;
        int ready = poll(p, 4, look ? LOOK_MS : -1);
        if (look || (ready > 0 && p[1].revents)) {
            unsigned char seen[4096];
            connected = true;
            if (opened >= 0 && read(opened, seen, sizeof(seen)) < 0 && errno != EAGAIN) {
                opened = -1;
            }
        }
        if (ready <= 0) {
            continue;
        }
        if (p[0].revents && is_empty(&to_board)) {
            // Whatever the host sent before it closed the port comes first, the hang-up after it.
            connected = fill(&to_board, line);
        }
        // The kernel would keep what is written after a hang-up for whoever opens the port next.
        if ((p[0].revents & (POLLOUT | POLLHUP)) == POLLOUT) {
            connected &= drain(&to_host, line);
        }
        if (p[2].revents && !drain(&to_board, input)) {
            to_board.start = to_board.end = 0;
        }
        if (p[3].revents) {
            running = fill(&to_host, output);
        }
        if (!connected || (p[0].revents & POLLHUP)) {
            to_host.start = to_host.end = 0;
        }
    }
}

int main(int argc, char **argv) {
    int line = number("PICOFED_LINE"), to[2], from[2];
    if (argc < 3 || line < 0) {
        fprintf(stderr, "bridge: FOLDER PROGRAM ARGUMENT..., and PICOFED_LINE in the environment\n");
        return 2;
    }
    die_with_parent((pid_t)number("PICOFED_PARENT"));
    if (chdir(argv[1]) < 0) {
        fail(argv[1]);
    }
    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0 || fcntl(line, F_SETFD, FD_CLOEXEC) < 0) {
        fail("pipe");
    }
    pid_t self = getpid(), emulator = fork();
    if (emulator < 0) {
        fail("fork");
    }
    if (emulator == 0) {
        die_with_parent(self);
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execv(argv[2], argv + 2);
        fail(argv[2]);
    }
    close(to[0]);
    close(from[1]);
    signal(SIGPIPE, SIG_IGN);
    int ours[] = {line, to[1], from[0]};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        fcntl(ours[i], F_SETFL, fcntl(ours[i], F_GETFL) | O_NONBLOCK);
    }
    carry(line, to[1], from[0]);
    int status = 0;
    while (waitpid(emulator, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status) || WEXITSTATUS(status) == EXIT_POWER_CUT) {
        kill(self, SIGKILL);
    }
    return WEXITSTATUS(status);
}
