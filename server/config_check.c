/* Where the configuration is, what the machine adds to it, and whether the two fit. */
#include "server/config.h"

#include "common/file.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nq_status parse_file(const char *path, nq_config *config, nq_error *err)
{
    uint8_t *text = NULL;
    size_t size;
    char *real = realpath(path, NULL), *slash = real ? strrchr(real, '/') : NULL;
    *config = (nq_config){0};
    if (!real)
        return errno == ENOENT
                   ? nq_fail(err, NQ_ERR_MISSING, "there is no configuration file %s", path)
                   : nq_fail_errno(err, errno, "cannot read the configuration %s", path);
    nq_status status = nq_file_read(real, NQ_CONFIG_BYTES, &text, &size, err);
    slash[slash == real] = 0;
    if (status == NQ_OK)
        status = nq_config_parse((const char *)text, size, path, real, config, err);
    free(real);
    free(text);
    return status;
}

nq_status nq_config_load(const char *path, nq_config *config, nq_error *err)
{
    static const char *const shared = "/etc/netq/netqd.conf";
    const char *named = getenv("NETQ_CONFIG"), *home = getenv("HOME");
    if (path || (named && *named))
        return parse_file(path ? path : named, config, err);
    *config = (nq_config){0};
    char *own = nq_path_join(home && *home ? home : "/", ".config/netq/netqd.conf");
    if (!own)
        return nq_fail_nomem(err, "a path", 64);
    nq_status status;
    if (access(own, F_OK) == 0)
        status = parse_file(own, config, err);
    else if (access(shared, F_OK) == 0)
        status = parse_file(shared, config, err);
    else
        status =
            nq_fail(err, NQ_ERR_MISSING,
                    "there is no configuration: neither %s nor %s exists; write one (netqd.conf "
                    "explains every key) or name one with --config FILE",
                    own, shared);
    free(own);
    return status;
}

static char *default_socket(void)
{
    const char *named = getenv("NETQ_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
    if (named && *named)
        return strdup(named);
    if (runtime && *runtime)
        return nq_path_join(runtime, "netq.sock");
    return strdup("/run/netq/netq.sock");
}

static char *default_state(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (geteuid() == 0)
        return strdup("/var/lib/netq");
    if (state && *state)
        return nq_path_join(state, "netq");
    return nq_path_join(home && *home ? home : "/", ".local/state/netq");
}

/* NULL: there is none; *nomem tells memory apart. */
static char *worker_beside_daemon(bool *nomem)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;
    if (n <= 0 || (self[n] = 0, !(slash = strrchr(self, '/'))))
        return NULL;
    *slash = 0;
    char *path = nq_path_join(self, "netq-worker");
    *nomem = !path;
    if (path && access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static char *worker_on_path(bool *nomem)
{
    const char *variable = getenv("PATH");
    char *copy = strdup(variable ? variable : ""), *rest = copy, *found = NULL;
    *nomem = !copy;
    for (char *part; copy && !found && (part = strsep(&rest, ":"));) {
        found = *part == '/' ? nq_path_join(part, "netq-worker") : NULL;
        if (found && access(found, X_OK) != 0) {
            free(found);
            found = NULL;
        }
    }
    free(copy);
    return found;
}

static int usable_cpus(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > 256 ? 256 : n;
}

nq_status nq_config_complete(nq_config *config, nq_error *err)
{
    bool nomem = false;
    if (!config->socket && !(config->socket = default_socket()))
        return nq_fail_nomem(err, "a path", 64);
    if (!config->state && !(config->state = default_state()))
        return nq_fail_nomem(err, "a path", 64);
    if (!config->cache_directory &&
        !(config->cache_directory = nq_path_join(config->state, "cache")))
        return nq_fail_nomem(err, "a path", 64);
    if (!config->worker)
        config->worker = worker_beside_daemon(&nomem);
    if (!config->worker && !nomem)
        config->worker = worker_on_path(&nomem);
    if (!config->worker)
        return nomem ? nq_fail_nomem(err, "a path", 64)
                     : nq_fail(err, NQ_ERR_MISSING,
                               "%s: there is no netq-worker beside netqd nor on PATH: name it with "
                               "worker = FILE in [daemon]",
                               config->file);
    if (config->threads == 0)
        config->threads = usable_cpus();
    return NQ_OK;
}

/* The daemon opens what a client names: below a root that others cannot reach it would lend them
 * its eyes. */
static nq_status check_root(const nq_config *config, const char *root, nq_error *err)
{
    struct stat st;
    char *real = realpath(root, NULL);
    if (!real)
        return nq_fail_errno(err, errno, "%s: roots: cannot use %s", config->file, root);
    nq_status status = NQ_OK;
    if (stat(real, &st) != 0)
        status = nq_fail_errno(err, errno, "%s: roots: cannot use %s", config->file, real);
    else if (!S_ISDIR(st.st_mode))
        status = nq_fail(err, NQ_ERR_INPUT, "%s: roots: %s is not a folder", config->file, real);
    else if (!config->private && (st.st_mode & 05) != 05)
        status = nq_fail(err, NQ_ERR_DENIED,
                         "%s: roots: %s is not readable by everybody (chmod o+rx), so jobs could "
                         "read for others what those may not; or set private = yes",
                         config->file, real);
    for (char *slash; status == NQ_OK && !config->private && (slash = strrchr(real, '/'));) {
        *slash = 0;
        const char *parent = *real ? real : "/";
        if (stat(parent, &st) != 0)
            status = nq_fail_errno(err, errno, "%s: roots: cannot use %s", config->file, parent);
        else if (!(st.st_mode & 01))
            status = nq_fail(err, NQ_ERR_DENIED,
                             "%s: roots: %s lies in %s, which is not open to everybody (chmod "
                             "o+rx), so jobs could read for others what those may not; or set "
                             "private = yes",
                             config->file, root, parent);
    }
    free(real);
    return status;
}

typedef struct {
    nq_config_complain complain;
    void *context;
    int count;
} complaints;

static void check_thing(complaints *c, const char *what, const char *name, const char *key,
                        const char *path, bool folder)
{
    struct stat st;
    nq_error said = {0};
    if (!path)
        return;
    if (stat(path, &st) != 0)
        nq_fail_errno(&said, errno, "[%s %s]: %s: cannot read %s", what, name, key, path);
    else if (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        nq_fail(&said, NQ_ERR_INPUT, "[%s %s]: %s: %s is not a %s", what, name, key, path,
                folder ? "folder" : "file");
    else if (access(path, folder ? R_OK | X_OK : R_OK) != 0)
        nq_fail_errno(&said, errno, "[%s %s]: %s: cannot read %s", what, name, key, path);
    else
        return;
    c->count++;
    c->complain(c->context, said.text);
}

/* A folder that is not there will be made. */
static void check_cache(complaints *c, const nq_config *config)
{
    const char *directory = config->cache_directory;
    struct stat st = {0};
    nq_error said = {0};
    if (config->cache_limit_mb == 0 || (stat(directory, &st) != 0 && errno == ENOENT))
        return;
    if (access(directory, R_OK | W_OK | X_OK) != 0)
        nq_fail_errno(&said, errno, "[cache]: directory: cannot use %s", directory);
    else if (!S_ISDIR(st.st_mode))
        nq_fail(&said, NQ_ERR_INPUT, "[cache]: directory: %s is not a folder", directory);
    else
        return;
    c->count++;
    c->complain(c->context, said.text);
}

nq_status nq_config_check(const nq_config *config, nq_config_complain complain, void *context,
                          int *count, nq_error *err)
{
    complaints c = {complain, context, 0};
    nq_status status = NQ_OK;
    for (size_t i = 0; i < config->root_count && status == NQ_OK; i++)
        status = check_root(config, config->roots[i], err);
    if (status == NQ_OK && access(config->worker, X_OK) != 0)
        status =
            nq_fail_errno(err, errno, "%s: worker: cannot run %s", config->file, config->worker);
    for (size_t i = 0; i < config->model_count; i++)
        check_thing(&c, "model", config->models[i].name, "checkpoint", config->models[i].checkpoint,
                    false);
    for (size_t i = 0; i < config->dataset_count; i++) {
        const nq_config_dataset *d = &config->datasets[i];
        check_thing(&c, "dataset", d->name, "path", d->path, true);
        check_thing(&c, "dataset", d->name, "labels", d->labels, false);
        check_thing(&c, "dataset", d->name, "wnids", d->wnids, false);
    }
    check_cache(&c, config);
    *count = c.count;
    return status;
}
