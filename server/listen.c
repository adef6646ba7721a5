/* The daemon's socket. */
#include "server/daemon.h"

#include "common/file.h"
#include "server/connection.h"
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 128
#define LOOKS   10        /* for a listener that goes away */
#define LOOK_NS 100000000 /* between two of them */

static nq_status make_parent(const char *path, nq_error *err)
{
    char *parent = strdup(path), *slash = parent ? strrchr(parent, '/') : NULL;
    nq_status status = parent ? NQ_OK : nq_fail_nomem(err, path, strlen(path));
    if (slash && slash != parent) {
        *slash = 0;
        status = nq_dir_make(parent, 0755, err);
    }
    free(parent);
    return status;
}

/* 0: somebody listens at `path`. */
static int try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    strcpy(address.sun_path, path);
    int code = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
    close(fd);
    return code;
}

/*
 * A socket that a killed daemon left behind is removed; one that somebody listens on is not. A
 * worker that was forked in the moment of the kill holds the old socket until it becomes its own
 * program: hence the second look.
 */
static nq_status clear_path(const char *path, nq_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? NQ_OK : nq_fail_errno(err, errno, "cannot use socket %s", path);
    if (!S_ISSOCK(st.st_mode))
        return nq_fail(err, NQ_ERR_INPUT, "socket: %s exists and is not a socket", path);
    int code = try_connect(path);
    for (int i = 0; code == 0 && i < LOOKS; i++) {
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
        code = try_connect(path);
    }
    if (code == 0)
        return nq_fail(err, NQ_ERR_STATE, "another daemon listens on %s", path);
    if (code != ECONNREFUSED)
        return nq_fail_errno(err, code, "cannot use socket %s", path);
    if (unlink(path) != 0)
        return nq_fail_errno(err, errno, "cannot remove the old socket %s", path);
    return NQ_OK;
}

static nq_status give_to_group(const nq_config *config, nq_error *err)
{
    if (!config->socket_group)
        return NQ_OK;
    errno = 0;
    const struct group *group = getgrnam(config->socket_group);
    if (!group)
        return nq_fail(err, NQ_ERR_INPUT, "socket_group: there is no group %s",
                       config->socket_group);
    if (chown(config->socket, (uid_t)-1, group->gr_gid) != 0)
        return nq_fail_errno(err, errno, "cannot give %s to group %s", config->socket,
                             config->socket_group);
    return NQ_OK;
}

nq_status nq_daemon_listen(nq_daemon *d, nq_error *err)
{
    const nq_config *config = d->config;
    if (strlen(config->socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return nq_fail(err, NQ_ERR_INPUT, "socket: %s is longer than %zu bytes", config->socket,
                       sizeof((struct sockaddr_un *)0)->sun_path - 1);
    nq_status status = make_parent(config->socket, err);
    if (status == NQ_OK)
        status = clear_path(config->socket, err);
    if (status != NQ_OK)
        return status;
    mode_t before = umask(config->private ? 0177 : 0117);
    int code = uv_pipe_bind(&d->listener, config->socket);
    umask(before);
    if (code != 0)
        return nq_fail(err, NQ_ERR_IO, "cannot make the socket %s: %s", config->socket,
                       uv_strerror(code));
    d->bound = true;
    status = give_to_group(config, err);
    if (status == NQ_OK &&
        (code = uv_listen((uv_stream_t *)&d->listener, BACKLOG, nq_connection_accept)) != 0)
        status =
            nq_fail(err, NQ_ERR_IO, "cannot listen on %s: %s", config->socket, uv_strerror(code));
    return status;
}
