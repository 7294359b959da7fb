// For ptsname_r.
#define _GNU_SOURCE

#include "line.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "py/runtime.h"

// Environment variable that carries the write end of stdin's pipe through a soft reset.
#define INPUT_VARIABLE "PICOFED_LINE_INPUT"
// A host that has the port open but does not read can hold a soft reset up for so long, then output is dropped.
#define DRAIN_MS 500
// A signal that arrives just before the VM blocks in a system call does not end that call: repeat it so often.
#define NUDGE_MS 10
// How often to look for a host where the kernel grants no inotify instance.
#define LOOK_MS 20

typedef struct {
    size_t start, end;
    uint8_t bytes[4096];
} chunk_t;

static struct {
    pthread_t thread, vm;
    int master;     // the line, towards the host
    int input;      // write end of the pipe that is the VM's stdin
    int output;     // read end of the pipe that is the VM's stdout
    int opened;     // inotify: somebody opened the port
    bool connected; // somebody has the port open
    chunk_t to_vm, to_host;
} line;

static atomic_int interrupt_char = -1;
static atomic_bool interrupt_wanted;

// Runs in the VM's thread. Repeated signals only end system calls, they raise nothing.
static void on_interrupt(int signal_number) {
    (void)signal_number;
    if (atomic_exchange(&interrupt_wanted, false) && atomic_load(&interrupt_char) >= 0) {
        mp_sched_keyboard_interrupt();
    }
}

static bool interrupt_is_pending(void) {
    return atomic_load(&interrupt_wanted) || MP_STATE_MAIN_THREAD(mp_pending_exception) != MP_OBJ_NULL;
}

void line_set_interrupt_char(char c) {
    atomic_store(&interrupt_char, (signed char)c);
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// As a UART's receive interrupt does: look for the interrupt character before anything is queued.
static void take_interrupts(chunk_t *chunk) {
    int c = atomic_load(&interrupt_char);
    if (c < 0) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < chunk->end; i++) {
        if (chunk->bytes[i] == c) {
            atomic_store(&interrupt_wanted, true);
            pthread_kill(line.vm, SIGINT);
        } else {
            chunk->bytes[kept++] = chunk->bytes[i];
        }
    }
    chunk->end = kept;
}

// Both return false where the other side is gone: no host has the port open, or the VM closed its stdout.
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

static bool is_empty(const chunk_t *chunk) {
    return chunk->start == chunk->end;
}

static void *line_run(void *unused) {
    (void)unused;
    bool vm_open = true;
    while (vm_open || !is_empty(&line.to_host)) {
        short line_events = 0;
        line_events |= is_empty(&line.to_vm) ? POLLIN : 0;
        line_events |= is_empty(&line.to_host) ? 0 : POLLOUT;
        // A descriptor that nothing is wanted of is left out: its hang-up would be reported over and over.
        struct pollfd p[4] = {
            {.fd = line.connected && line_events ? line.master : -1, .events = line_events},
            {.fd = line.connected ? -1 : line.opened, .events = POLLIN},
            {.fd = is_empty(&line.to_vm) ? -1 : line.input, .events = POLLOUT},
            {.fd = vm_open && is_empty(&line.to_host) ? line.output : -1, .events = POLLIN},
        };
        bool nudge = vm_open && interrupt_is_pending();
        bool look = !line.connected && line.opened < 0;
        int timeout = !vm_open ? DRAIN_MS : nudge ? NUDGE_MS : look ? LOOK_MS : -1;
        int ready = poll(p, 4, timeout);
        if (nudge && interrupt_is_pending()) {
            pthread_kill(line.vm, SIGINT);
        }
        if (ready == 0 && !vm_open) {
            break;
        }
        if ((ready == 0 && look) || (ready > 0 && p[1].revents)) {
            uint8_t events[4096];
            line.connected = true;
            if (line.opened >= 0 && read(line.opened, events, sizeof(events)) < 0 && errno != EAGAIN) {
                line.opened = -1;
            }
        }
        if (ready <= 0) {
            continue;
        }
        if (p[0].revents && is_empty(&line.to_vm)) {
            // Whatever the host sent before it closed the port comes first, the hang-up after it.
            line.connected = fill(&line.to_vm, line.master);
            take_interrupts(&line.to_vm);
        }
        // The kernel would keep what is written after a hang-up for whoever opens the port next.
        if ((p[0].revents & (POLLOUT | POLLHUP)) == POLLOUT) {
            line.connected &= drain(&line.to_host, line.master);
        }
        if (p[2].revents) {
            drain(&line.to_vm, line.input);
        }
        if (p[3].revents) {
            vm_open = fill(&line.to_host, line.output);
        }
        if (!line.connected || (p[0].revents & POLLHUP)) {
            // Nobody listens: as on a UART with no cable, what is sent is lost, and the board never waits.
            line.to_host.start = line.to_host.end = 0;
        }
    }
    // Typed ahead of a soft reset; only where stdin's pipe is full (64 KiB unread) is it lost.
    drain(&line.to_vm, line.input);
    return NULL;
}

static void set_nonblocking(int fd) {
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        fail("line");
    }
}

void line_start(int master) {
    int out[2];
    const char *kept = getenv(INPUT_VARIABLE);
    if (kept != NULL) {
        line.input = atoi(kept);
        unsetenv(INPUT_VARIABLE);
    } else {
        int in[2];
        if (pipe(in) < 0 || dup2(in[0], STDIN_FILENO) < 0) {
            fail("stdin");
        }
        close(in[0]);
        line.input = in[1];
    }
    if (pipe(out) < 0 || dup2(out[1], STDOUT_FILENO) < 0) {
        fail("stdout");
    }
    close(out[1]);
    line.output = out[0];
    line.master = master;
    line.vm = pthread_self();
    set_nonblocking(line.input);
    set_nonblocking(line.master);

    // The watch comes before the first look at the port, so that no opening is missed. One too many does no harm.
    char port[64];
    line.opened = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (line.opened >= 0 &&
        (ptsname_r(master, port, sizeof(port)) != 0 || inotify_add_watch(line.opened, port, IN_OPEN) < 0)) {
        close(line.opened);
        line.opened = -1;
    }
    line.connected = true;

    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&line.thread, NULL, line_run, NULL) != 0) {
        fail("line");
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void line_stop(bool keep_input) {
    // The thread ends at the end of the VM's output. Number 1 stays taken: the next pipe must not get it.
    int null = open("/dev/null", O_WRONLY);
    if (null < 0 || dup2(null, STDOUT_FILENO) < 0) {
        fail("stdout");
    }
    pthread_join(line.thread, NULL);
    if (keep_input) {
        char number[16];
        snprintf(number, sizeof(number), "%d", line.input);
        setenv(INPUT_VARIABLE, number, 1);
    } else {
        close(line.input);
    }
}
