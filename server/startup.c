#include "server/startup.h"

#include "common/file.h"
#include "common/log.h"
#include "server/daemon.h"
#include "server/reconcile.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A lock of the process, not of the descriptor: a worker that has been forked and not yet become
 * its own program must not keep it when the daemon is killed in that moment. */
static nq_status take_lock(const nq_config *config, int *lock_fd, nq_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = nq_path_join(config->state, "lock");
    if (!path)
        return nq_fail_nomem(err, "a path", strlen(config->state));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    nq_status status = fd < 0 ? nq_fail_errno(err, errno, "cannot open %s", path) : NQ_OK;
    if (status == NQ_OK && fcntl(fd, F_SETLK, &lock) != 0) {
        int code = errno;
        status = nq_fail_errno(err, code, "cannot lock %s", path);
        if ((code == EACCES || code == EAGAIN) && fcntl(fd, F_GETLK, &lock) == 0)
            status =
                nq_fail(err, NQ_ERR_STATE,
                        "another netqd (pid %d) works in %s: stop it, or give this one a state "
                        "folder of its own",
                        (int)lock.l_pid, config->state);
    }
    free(path);
    if (status != NQ_OK && fd >= 0)
        close(fd);
    *lock_fd = status == NQ_OK ? fd : -1;
    return status;
}

static nq_status make_folders(const nq_config *config, nq_error *err)
{
    char *jobs = nq_path_join(config->state, "jobs");
    nq_status status = jobs ? nq_dir_make(jobs, 0700, err) : nq_fail_nomem(err, "a path", 0);
    free(jobs);
    return status;
}

/* One job that was running: done or failed if its folder says so, else queued again. */
static nq_status reconcile_one(const nq_config *config, nq_store *store, int64_t id, nq_error *err)
{
    nq_job job;
    nq_ending ending = {0};
    double wait_seconds;
    bool applied = false;
    nq_worker_end end = {.kind = NQ_END_DAEMON};
    char *folder = nq_daemon_job_folder(config, id);
    if (!folder)
        return nq_fail_nomem(err, "a path", 0);
    nq_status status = nq_store_load(store, id, &job, err);
    if (status == NQ_OK) {
        nq_reconcile(folder, &job, &end, config->attempts, &ending, &wait_seconds);
        status = nq_store_finish(store, id, &ending, nq_time_now(), &applied, err);
    }
    if (status == NQ_OK)
        nq_log(NQ_LOG_INFO, "job_reconciled", "job", "%lld", (long long)id, "state", "%s",
               nq_job_state_name(ending.state), NULL);
    free(ending.artifacts);
    nq_job_clear(&job);
    free(folder);
    return status;
}

nq_status nq_startup_reconcile(const nq_config *config, nq_store *store, nq_error *err)
{
    nq_id_list running = {0};
    nq_status status = nq_store_begin(store, true, err);
    if (status != NQ_OK)
        return status;
    status = nq_store_running(store, &running, err);
    for (size_t i = 0; i < running.count && status == NQ_OK; i++)
        status = reconcile_one(config, store, running.ids[i], err);
    nq_id_list_free(&running);
    if (status == NQ_OK)
        return nq_store_commit(store, err);
    nq_store_rollback(store);
    return status;
}

/* A folder's name as a job's number; 0: it is none. */
static int64_t job_number(const char *name)
{
    char *end;
    errno = 0;
    long long id = strtoll(name, &end, 10);
    return *end || errno || id < 1 || name[0] < '1' || name[0] > '9' ? 0 : id;
}

nq_status nq_startup_sweep(const nq_config *config, nq_store *store, nq_error *err)
{
    char *jobs = nq_path_join(config->state, "jobs");
    DIR *dir = jobs ? opendir(jobs) : NULL;
    nq_status status = NQ_OK;
    if (!jobs)
        return nq_fail_nomem(err, "a path", 0);
    if (!dir)
        status = nq_fail_errno(err, errno, "cannot list %s", jobs);
    for (struct dirent *entry; status == NQ_OK && (entry = readdir(dir));) {
        bool has = false;
        int64_t id = job_number(entry->d_name);
        if (id == 0)
            continue;
        status = nq_store_has(store, id, &has, err);
        if (status != NQ_OK || has)
            continue;
        nq_error failed = {0};
        char *folder = nq_daemon_job_folder(config, id);
        nq_log(NQ_LOG_INFO, "folder_swept", "job", "%lld", (long long)id, NULL);
        if (folder && nq_dir_remove(folder, &failed) != NQ_OK)
            nq_log(NQ_LOG_WARN, "job_folder_stays", "why", "%s", failed.text, NULL);
        free(folder);
    }
    if (dir)
        closedir(dir);
    free(jobs);
    return status;
}

void nq_shared_images_sweep(const nq_config *config)
{
    char *folder = nq_path_join(config->state, NQ_SHARED_IMAGES);
    DIR *dir = folder ? opendir(folder) : NULL;
    struct stat st;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode) && st.st_nlink == 1)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    free(folder);
}

nq_status nq_startup(const nq_config *config, nq_store **store, int *lock_fd, nq_error *err)
{
    *store = NULL;
    *lock_fd = -1;
    nq_status status = make_folders(config, err);
    if (status == NQ_OK)
        status = take_lock(config, lock_fd, err);
    char *path = status == NQ_OK ? nq_path_join(config->state, "queue.db") : NULL;
    if (status == NQ_OK)
        status = path ? nq_store_open(path, store, err) : nq_fail_nomem(err, "a path", 0);
    free(path);
    if (status == NQ_OK)
        status = nq_startup_reconcile(config, *store, err);
    if (status == NQ_OK)
        status = nq_startup_sweep(config, *store, err);
    if (status == NQ_OK)
        nq_shared_images_sweep(config);
    if (status != NQ_OK) {
        nq_store_close(*store);
        *store = NULL;
        if (*lock_fd >= 0)
            close(*lock_fd);
        *lock_fd = -1;
    }
    return status;
}
