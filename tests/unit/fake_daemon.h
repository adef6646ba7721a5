/*
 * A daemon for tests of the client: listens on a socket in a folder of its own, and answers each
 * request line with what a script says. A script is a list of rows: the op that a request must
 * have, the bytes to send back, and what to do then. "$" in the bytes stands for the request's id.
 */
#ifndef NQ_FAKE_DAEMON_H
#define NQ_FAKE_DAEMON_H

#include "tests/unit/nq_test.h"

#include "client/client.h"
#include "common/file.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef enum { FAKE_KEEP, FAKE_HANG_UP } fake_then;

typedef struct {
    const char *op;
    const char *bytes;
    size_t size; /* of bytes; 0: they are text */
    fake_then then;
} fake_row;

typedef struct {
    char *folder, *path;
    const fake_row *script; /* ended by a row without op */
    int listener, wake[2];
    pthread_t thread;
    char requests[16384]; /* all request lines, in order; read it once the daemon has stopped */
    atomic_int answered;
} fake_daemon;

static void fake_send(int fd, const char *bytes, size_t size, const char *id)
{
    for (size_t i = 0; i < size; i++) {
        ssize_t n = bytes[i] == '$' ? send(fd, id, strlen(id), MSG_NOSIGNAL)
                                    : send(fd, bytes + i, 1, MSG_NOSIGNAL);
        if (n < 0)
            return;
    }
}

/* Answers one request with the first row of its op that has not been used. False: hang up. */
static bool fake_answer(fake_daemon *d, int fd, const char *line, bool *used)
{
    json_t *request = json_loads(line, 0, NULL);
    const char *op = json_string_value(json_object_get(request, "op"));
    char id[32];
    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(request, "id")));
    bool keep = false;
    for (size_t i = 0; op && d->script[i].op; i++) {
        if (used[i] || strcmp(d->script[i].op, op) != 0)
            continue;
        const fake_row *row = &d->script[i];
        used[i] = true;
        fake_send(fd, row->bytes, row->size ? row->size : strlen(row->bytes), id);
        keep = row->then == FAKE_KEEP;
        atomic_fetch_add(&d->answered, 1);
        break;
    }
    json_decref(request);
    return keep;
}

typedef struct {
    int fd;
    size_t size;
    char line[65536];
} fake_peer;

static bool fake_read(fake_daemon *d, fake_peer *peer, bool *used)
{
    ssize_t n = recv(peer->fd, peer->line + peer->size, sizeof peer->line - 1 - peer->size, 0);
    if (n <= 0)
        return false;
    peer->size += (size_t)n;
    char *newline;
    while ((newline = memchr(peer->line, '\n', peer->size))) {
        *newline = 0;
        size_t used_already = strlen(d->requests);
        snprintf(d->requests + used_already, sizeof d->requests - used_already, "%s\n", peer->line);
        if (!fake_answer(d, peer->fd, peer->line, used))
            return false;
        size_t taken = (size_t)(newline + 1 - peer->line);
        memmove(peer->line, newline + 1, peer->size - taken);
        peer->size -= taken;
    }
    return true;
}

static void *fake_run(void *context)
{
    enum { PEERS = 8 };
    fake_daemon *d = context;
    static fake_peer peers[PEERS];
    bool used[64] = {false};
    int count = 0;
    for (;;) {
        struct pollfd fds[PEERS + 2] = {{d->wake[0], POLLIN, 0},
                                        {count < PEERS ? d->listener : -1, POLLIN, 0}};
        for (int i = 0; i < count; i++)
            fds[i + 2] = (struct pollfd){peers[i].fd, POLLIN, 0};
        if (poll(fds, (nfds_t)count + 2, -1) < 0 || fds[0].revents)
            break;
        for (int i = count - 1; i >= 0; i--)
            if (fds[i + 2].revents && !fake_read(d, &peers[i], used)) {
                close(peers[i].fd);
                peers[i] = peers[--count];
            }
        if (fds[1].revents & POLLIN) {
            peers[count].fd = accept(d->listener, NULL, NULL);
            peers[count].size = 0;
            count += peers[count].fd >= 0;
        }
    }
    while (count > 0)
        close(peers[--count].fd);
    return NULL;
}

static void fake_listen(fake_daemon *d)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", d->path);
    d->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(d->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(d->listener, 8), 0);
    assert_int_equal(pipe(d->wake), 0);
    assert_int_equal(pthread_create(&d->thread, NULL, fake_run, d), 0);
}

static fake_daemon *fake_start(const fake_row *script)
{
    fake_daemon *d = calloc(1, sizeof *d);
    d->folder = nq_test_folder();
    d->path = nq_path_join(d->folder, "s");
    d->script = script;
    fake_listen(d);
    return d;
}

/* Ends its thread, connections and socket, as a daemon that is stopped. */
static void fake_stop(fake_daemon *d)
{
    assert_int_equal(write(d->wake[1], "x", 1), 1);
    pthread_join(d->thread, NULL);
    close(d->listener);
    close(d->wake[0]);
    close(d->wake[1]);
    unlink(d->path);
}

static void fake_free(fake_daemon *d)
{
    nq_error err = {0};
    nq_dir_remove(d->folder, &err);
    free(d->path);
    free(d->folder);
    free(d);
}

#endif
