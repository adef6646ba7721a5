#include "client/connection.h"

#include "common/json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct nq_connection {
    int fd;
    uint8_t *data; /* bytes start..end were received and not yet taken */
    size_t start, end, room;
    long long last_id;
    bool lost;
};

/* ---- opening ---- */

char *nq_socket_path(const char *option)
{
    const char *named = option ? option : getenv("NETQ_SOCKET");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *path = NULL;
    if (named && *named)
        return strdup(named);
    static const char shared[] = "/run/netq/netq.sock";
    if (!runtime || !*runtime)
        return strdup(shared);
    if (asprintf(&path, "%s/netq.sock", runtime) < 0)
        return NULL;
    if (access(path, F_OK) == 0 || access(shared, F_OK) != 0)
        return path;
    free(path);
    return strdup(shared);
}

nq_connection *nq_connection_adopt(int fd)
{
    nq_connection *connection = calloc(1, sizeof *connection);
    if (connection)
        connection->fd = fd;
    return connection;
}

nq_status nq_connection_open(const char *path, nq_connection **connection, nq_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *connection = NULL;
    if (strlen(path) >= sizeof address.sun_path)
        return nq_fail(err, NQ_ERR_IO, "the socket path %s is longer than the %zu bytes allowed",
                       path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return nq_fail_errno(err, errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        nq_fail_errno(err, errno,
                      "no daemon answers at %s (start netqd, or name its socket with --socket or "
                      "NETQ_SOCKET)",
                      path);
        close(fd);
        return NQ_ERR_IO;
    }
    *connection = nq_connection_adopt(fd);
    if (*connection)
        return NQ_OK;
    close(fd);
    return nq_fail_nomem(err, "the connection", sizeof **connection);
}

void nq_connection_close(nq_connection *connection)
{
    if (!connection)
        return;
    close(connection->fd);
    free(connection->data);
    free(connection);
}

bool nq_connection_lost(const nq_connection *connection)
{
    return connection->lost;
}

/* ---- bytes ---- */

static nq_status lose(nq_connection *c, int code, nq_error *err)
{
    c->lost = true;
    if (code)
        return nq_fail_errno(err, code, "the connection to the daemon broke");
    return nq_fail(err, NQ_ERR_IO, "the daemon closed the connection");
}

static nq_status send_all(nq_connection *c, const char *data, size_t size, nq_error *err)
{
    while (size > 0) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return lose(c, errno, err);
        data += n;
        size -= (size_t)n;
    }
    return NQ_OK;
}

/* Makes room behind `end` for at least one chunk. */
static nq_status make_room(nq_connection *c, nq_error *err)
{
    if (c->start > 0) {
        memmove(c->data, c->data + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->room - c->end >= NQ_CHUNK_MAX)
        return NQ_OK;
    size_t room = 2 * c->room + 2 * (size_t)NQ_CHUNK_MAX;
    uint8_t *data = realloc(c->data, room);
    if (!data)
        return nq_fail_nomem(err, "the daemon's reply", room);
    c->data = data;
    c->room = room;
    return NQ_OK;
}

static nq_status receive(nq_connection *c, nq_error *err)
{
    nq_status status = make_room(c, err);
    if (status != NQ_OK)
        return status;
    for (;;) {
        ssize_t n = recv(c->fd, c->data + c->end, c->room - c->end, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return lose(c, n < 0 ? errno : 0, err);
        c->end += (size_t)n;
        return NQ_OK;
    }
}

static nq_status receive_at_least(nq_connection *c, size_t size, nq_error *err)
{
    while (c->end - c->start < size) {
        nq_status status = receive(c, err);
        if (status != NQ_OK)
            return status;
    }
    return NQ_OK;
}

/* ---- lines ---- */

nq_status nq_connection_line(nq_connection *c, json_t **object, nq_error *err)
{
    size_t seen = 0;
    *object = NULL;
    for (;;) {
        size_t have = c->end - c->start;
        uint8_t *newline =
            have > seen ? memchr(c->data + c->start + seen, '\n', have - seen) : NULL;
        if (newline) {
            const char *line = (const char *)c->data + c->start;
            size_t size = (size_t)((const char *)newline - line);
            c->start += size + 1;
            nq_status status =
                nq_json_parse(line, size, NQ_LINE_MAX, "the daemon's reply", object, err);
            return status == NQ_ERR_INPUT ? NQ_ERR_INTERNAL : status;
        }
        seen = have;
        if (seen > NQ_LINE_MAX)
            return nq_fail(err, NQ_ERR_INTERNAL,
                           "the daemon's reply has a line of more than %u bytes", NQ_LINE_MAX);
        nq_status status = receive(c, err);
        if (status != NQ_OK)
            return status;
    }
}

static nq_status status_of_code(const char *code)
{
    static const struct {
        const char *code;
        nq_status status;
    } codes[] = {
        {"bad_request", NQ_ERR_INPUT}, {"bad_spec", NQ_ERR_INPUT},  {"too_large", NQ_ERR_INPUT},
        {"denied", NQ_ERR_DENIED},     {"missing", NQ_ERR_MISSING}, {"wrong_state", NQ_ERR_STATE},
        {"busy", NQ_ERR_STATE},        {"io", NQ_ERR_IO},           {"no_memory", NQ_ERR_NOMEM},
    };
    for (size_t i = 0; code && i < sizeof codes / sizeof *codes; i++)
        if (strcmp(codes[i].code, code) == 0)
            return codes[i].status;
    return NQ_ERR_INTERNAL;
}

static nq_status refused(const json_t *reply, nq_error *err)
{
    const json_t *error = json_object_get(reply, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    return nq_fail(err, status_of_code(code), "%s",
                   message && *message ? message : "the daemon refused and did not say why");
}

static nq_status send_request(nq_connection *c, const json_t *request, nq_error *err)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (!text)
        return nq_fail_nomem(err, "the request", 0);
    nq_status status = send_all(c, text, strlen(text), err);
    if (status == NQ_OK)
        status = send_all(c, "\n", 1, err);
    free(text);
    return status;
}

nq_status nq_connection_ask(nq_connection *c, json_t *request, json_t **reply, nq_error *err)
{
    *reply = NULL;
    long long id = ++c->last_id;
    if (!request || json_object_set_new(request, "id", json_integer(id)) != 0) {
        json_decref(request);
        return nq_fail_nomem(err, "the request", 0);
    }
    nq_error broken = {0};
    nq_status status = send_request(c, request, &broken);
    json_decref(request);
    json_t *line = NULL;
    /* A daemon that refuses and hangs up at once (busy, too_large) has left its reason to read. */
    nq_status read = status == NQ_OK || c->lost ? nq_connection_line(c, &line, err) : status;
    if (read != NQ_OK) {
        if (status != NQ_OK && err)
            *err = broken;
        return status != NQ_OK ? status : read;
    }
    const json_t *ok = json_object_get(line, "ok"), *got = json_object_get(line, "id");
    if (json_is_false(ok))
        status = refused(line, err);
    else if (!json_is_true(ok) || !json_is_integer(got) || json_integer_value(got) != id)
        status = nq_fail(err, NQ_ERR_INTERNAL, "the daemon's reply is not one to this request");
    else
        status = NQ_OK;
    if (status == NQ_OK)
        *reply = line;
    else
        json_decref(line);
    return status;
}

/* ---- downloads ---- */

static nq_status end_of_download(nq_connection *c, nq_error *err)
{
    json_t *line = NULL;
    nq_status status = nq_connection_line(c, &line, err);
    if (status == NQ_OK && json_object_get(line, "error"))
        status = refused(line, err);
    else if (status == NQ_OK && !json_is_true(json_object_get(line, "end")))
        status = nq_fail(err, NQ_ERR_INTERNAL, "the daemon's download does not end as one");
    json_decref(line);
    return status;
}

nq_status nq_connection_chunk(nq_connection *c, uint8_t *data, size_t *size, nq_error *err)
{
    *size = 0;
    nq_status status = receive_at_least(c, 4, err);
    if (status != NQ_OK)
        return status;
    const uint8_t *head = c->data + c->start;
    size_t length = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (length > NQ_CHUNK_MAX)
        return nq_fail(err, NQ_ERR_INTERNAL, "the daemon's download has a chunk of %zu bytes",
                       length);
    c->start += 4;
    if (length == 0)
        return end_of_download(c, err);
    status = receive_at_least(c, length, err);
    if (status != NQ_OK)
        return status;
    memcpy(data, c->data + c->start, length);
    c->start += length;
    *size = length;
    return NQ_OK;
}
