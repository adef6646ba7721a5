#include "worker/shared_images.h"

#include "common/file.h"
#include "common/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_LENGTH (NQ_SHA256_TEXT - 1)

static nq_status hash_file(const char *path, char text[NQ_SHA256_TEXT], nq_error *err)
{
    uint8_t digest[NQ_SHA256_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nq_fail_errno(err, errno, "cannot open %s", path);
    nq_status status = nq_hash_fd(fd, path, digest, NULL, err);
    close(fd);
    if (status == NQ_OK)
        nq_hash_text(digest, text);
    return status;
}

static nq_status make_key(const nq_job_file *job, char key[NQ_SHA256_TEXT], nq_error *err)
{
    char program[NQ_SHA256_TEXT];
    uint8_t digest[NQ_SHA256_BYTES];
    nq_status status = hash_file("/proc/self/exe", program, err);
    if (status != NQ_OK)
        return status;
    json_t *spec = nq_spec_to_json(&job->spec);
    char *calibrate =
        spec ? json_dumps(json_object_get(spec, "calibrate"), JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    nq_hash *hash = nq_hash_new();
    if (calibrate && hash) {
        nq_hash_add(hash, program, sizeof program);
        nq_hash_add(hash, job->checkpoint_sha256, sizeof job->checkpoint_sha256);
        nq_hash_add(hash, job->arch, strlen(job->arch) + 1);
        nq_hash_add(hash, calibrate, strlen(calibrate));
        nq_hash_end(hash, digest);
        nq_hash_text(digest, key);
    } else {
        nq_hash_free(hash);
        status = nq_fail_nomem(err, "a key", 0);
    }
    free(calibrate);
    json_decref(spec);
    return status;
}

/* The folder, or NULL: none, or none that can be made. */
static char *folder_of(const nq_job_file *job, char key[NQ_SHA256_TEXT])
{
    nq_error err = {0};
    if (!job->shared_images.root || !*job->checkpoint_sha256)
        return NULL;
    char *folder = nq_path_join(job->shared_images.root, job->shared_images.path);
    nq_status status = folder ? nq_dir_make(folder, 0700, &err) : nq_fail_nomem(&err, "a path", 0);
    if (status == NQ_OK)
        status = make_key(job, key, &err);
    if (status == NQ_OK)
        return folder;
    nq_log(NQ_LOG_WARN, "images_unshared", "why", "%s", err.text, NULL);
    free(folder);
    return NULL;
}

/* The file's path, if the folder has one of this key; malloc'd. */
static char *find(const char *folder, const char *key)
{
    char *found = NULL;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));)
        if (strlen(entry->d_name) == 2 * KEY_LENGTH + strlen("-.npy") &&
            strncmp(entry->d_name, key, KEY_LENGTH) == 0)
            found = nq_path_join(folder, entry->d_name);
    if (dir)
        closedir(dir);
    return found;
}

static bool is_whole(const char *path)
{
    char content[NQ_SHA256_TEXT];
    nq_error err = {0};
    const char *name = strrchr(path, '/') + 1 + KEY_LENGTH + 1;
    if (hash_file(path, content, &err) == NQ_OK && strncmp(name, content, KEY_LENGTH) == 0)
        return true;
    nq_log(NQ_LOG_WARN, "images_damaged", "path", "%s", path, NULL);
    unlink(path);
    return false;
}

static bool link_to(const char *from, const char *to)
{
    if (link(from, to) == 0 || errno == EEXIST)
        return true;
    nq_log(NQ_LOG_WARN, "images_unshared", "path", "%s", to, "why", "%s", strerror(errno), NULL);
    return false;
}

bool nq_shared_images_take(const nq_job_file *job, const char *path)
{
    char key[NQ_SHA256_TEXT];
    char *folder = folder_of(job, key), *shared = folder ? find(folder, key) : NULL;
    bool taken = shared && is_whole(shared) && (unlink(path) == 0 || errno == ENOENT) &&
                 link_to(shared, path);
    if (taken)
        nq_log(NQ_LOG_INFO, "images_shared", "key", "%s", key, NULL);
    free(shared);
    free(folder);
    return taken;
}

void nq_shared_images_keep(const nq_job_file *job, const char *path)
{
    char key[NQ_SHA256_TEXT], content[NQ_SHA256_TEXT], *name = NULL;
    nq_error err = {0};
    char *folder = folder_of(job, key);
    if (!folder)
        return;
    nq_status status = hash_file(path, content, &err);
    if (status == NQ_OK && asprintf(&name, "%s/%s-%s.npy", folder, key, content) < 0) {
        name = NULL;
        status = nq_fail_nomem(&err, folder, 0);
    }
    if (status == NQ_OK && link_to(path, name))
        status = nq_dir_sync(folder, &err);
    if (status != NQ_OK)
        nq_log(NQ_LOG_WARN, "images_unshared", "why", "%s", err.text, NULL);
    free(name);
    free(folder);
}
