/* Finding: names of the configuration, and paths below the allowed roots. */
#include "server/inputs.h"

#include "common/arch.h"
#include "common/file.h"
#include "common/json.h"
#include "common/tree.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nq_status set_place(nq_place *place, const char *root, const char *path, nq_error *err)
{
    place->root = strdup(root);
    place->path = strdup(path);
    return place->root && place->path ? NQ_OK : nq_fail_nomem(err, "a path", strlen(root));
}

/* A file or folder of the configuration: links in it are the administrator's business. */
static nq_status place_trusted(const char *configured, bool folder, nq_place *place, nq_error *err)
{
    char *real = realpath(configured, NULL);
    if (!real)
        return errno == ENOENT ? nq_fail(err, NQ_ERR_MISSING, "there is no %s", configured)
                               : nq_fail_errno(err, errno, "cannot read %s", configured);
    nq_status status;
    char *slash = strrchr(real, '/');
    if (folder) {
        status = set_place(place, real, "", err);
    } else {
        *slash = 0;
        status = set_place(place, slash == real ? "/" : real, slash + 1, err);
    }
    free(real);
    return status;
}

static nq_status check_mode(int fd, const char *path, nq_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return nq_fail_errno(err, errno, "cannot read %s", path);
    mode_t need = S_ISDIR(st.st_mode) ? 05 : 04;
    if ((st.st_mode & need) != need)
        return nq_fail(
            err, NQ_ERR_DENIED,
            "%s is not readable by everybody (chmod o+r%s): the daemon does not read for "
            "others what they may not",
            path, need == 05 ? "x" : "");
    return NQ_OK;
}

/* Every folder between root and the file must let everybody through. */
static nq_status check_way(const char *root, const char *path, nq_error *err)
{
    char *part = strdup(path);
    nq_status status = part ? NQ_OK : nq_fail_nomem(err, path, strlen(path));
    for (char *slash; status == NQ_OK && (slash = strrchr(part, '/'));) {
        int fd;
        *slash = 0;
        status = nq_file_open_beneath(root, part, O_RDONLY | O_DIRECTORY, &fd, err);
        if (status != NQ_OK)
            break;
        status = check_mode(fd, part, err);
        close(fd);
    }
    free(part);
    return status;
}

/* Every file below a folder that a client named. */
static nq_status check_tree(const char *root, const char *path, nq_error *err)
{
    nq_tree tree;
    int fd = -1;
    struct stat st;
    nq_status status = nq_tree_list(root, path, &tree, err);
    if (status == NQ_OK)
        status = nq_file_open_beneath(root, path, O_RDONLY | O_DIRECTORY, &fd, err);
    for (size_t i = 0; i < tree.count && status == NQ_OK; i++) {
        const nq_tree_entry *e = &tree.entries[i];
        mode_t need = e->folder ? 05 : 04;
        if (fstatat(fd, e->path, &st, AT_SYMLINK_NOFOLLOW) != 0)
            status = nq_fail_errno(err, errno, "cannot read %s/%s", path, e->path);
        else if ((st.st_mode & need) != need)
            status =
                nq_fail(err, NQ_ERR_DENIED, "%s/%s is not readable by everybody", path, e->path);
    }
    if (fd >= 0)
        close(fd);
    nq_tree_free(&tree);
    return status;
}

static nq_status try_root(const nq_config *config, const char *root, const char *path, bool folder,
                          nq_place *place, nq_error *err)
{
    int fd;
    nq_error as_file = {0}; /* apart from err, which may hold an earlier root's */
    bool is_folder = false;
    nq_status status = nq_file_open_beneath(root, path, O_RDONLY, &fd, &as_file);
    if (status == NQ_ERR_INPUT && folder) {
        status = nq_file_open_beneath(root, path, O_RDONLY | O_DIRECTORY, &fd, &as_file);
        is_folder = true;
    }
    if (status != NQ_OK) {
        *err = as_file;
        return status;
    }
    if (!config->private) {
        status = check_mode(fd, path, err);
        if (status == NQ_OK)
            status = check_way(root, path, err);
        if (status == NQ_OK && is_folder)
            status = check_tree(root, path, err);
    }
    close(fd);
    return status == NQ_OK ? set_place(place, root, path, err) : status;
}

/* What is left of an absolute path below root, or NULL where it is not. */
static const char *below(const char *root, const char *path)
{
    size_t n = strlen(root);
    while (n > 1 && root[n - 1] == '/')
        n--;
    if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] && n > 1))
        return NULL;
    return path + n + strspn(path + n, "/");
}

/* A path that a client wrote: absolute below a root, or relative to one. */
static nq_status place_named(const nq_config *config, const char *key, const char *path,
                             bool folder, nq_place *place, nq_error *err)
{
    nq_status status =
        nq_fail(err, NQ_ERR_DENIED, "%s lies under none of the allowed roots (limits.roots)", path);
    for (size_t i = 0; i < config->root_count; i++) {
        const char *root = config->roots[i], *rest = path;
        char *real = NULL;
        if (path[0] == '/') {
            rest = below(root, path);
            if (!rest && (real = realpath(root, NULL)))
                rest = below(real, path);
        }
        if (rest) {
            nq_error found = {0};
            status = try_root(config, root, rest, folder, place, &found);
            if (status != NQ_OK)
                *err = found;
        }
        free(real);
        if (rest && status != NQ_ERR_MISSING)
            break;
    }
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "%s", key);
}

static nq_status unknown_name(const char *what, const char *name, const char **names, nq_error *err)
{
    const char *nearest = nq_nearest(name, names);
    if (!nearest)
        return nq_fail(err, NQ_ERR_MISSING, "%s: the daemon's configuration names none, so not %s",
                       what, name);
    return nq_fail(err, NQ_ERR_MISSING,
                   "%s: the daemon's configuration does not name %s; the nearest is %s", what, name,
                   nearest);
}

static nq_status unknown_model(const nq_config *config, const char *name, nq_error *err)
{
    const char **names = calloc(config->model_count + 1, sizeof *names);
    if (!names)
        return nq_fail_nomem(err, "names", config->model_count * sizeof *names);
    for (size_t i = 0; i < config->model_count; i++)
        names[i] = config->models[i].name;
    nq_status status = unknown_name("model", name, names, err);
    free(names);
    return status;
}

static nq_status unknown_dataset(const nq_config *config, const char *name, nq_error *err)
{
    const char **names = calloc(config->dataset_count + 1, sizeof *names);
    if (!names)
        return nq_fail_nomem(err, "names", config->dataset_count * sizeof *names);
    for (size_t i = 0; i < config->dataset_count; i++)
        names[i] = config->datasets[i].name;
    nq_status status = unknown_name("dataset", name, names, err);
    free(names);
    return status;
}

nq_status nq_inputs_model(const nq_config_model *model, nq_inputs *in, nq_error *err)
{
    nq_status status = place_trusted(model->checkpoint, false, &in->checkpoint, err);
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "model %s", model->name);
}

static nq_status find_model(const nq_config *config, const nq_spec *spec, nq_inputs *in,
                            nq_error *err)
{
    const nq_config_model *model = nq_config_model_find(config, spec->model);
    const char *arch = model ? model->arch : spec->model;
    if (!nq_arch_find(arch) || (!model && !*spec->checkpoint))
        return unknown_model(config, spec->model, err);
    snprintf(in->arch, sizeof in->arch, "%s", arch);
    if (*spec->checkpoint)
        return place_named(config, "checkpoint", spec->checkpoint, false, &in->checkpoint, err);
    return nq_inputs_model(model, in, err);
}

nq_status nq_inputs_dataset(const nq_config_dataset *dataset, nq_inputs *in, nq_error *err)
{
    nq_status status = place_trusted(dataset->path, true, &in->dataset, err);
    if (status == NQ_OK && dataset->labels)
        status = place_trusted(dataset->labels, false, &in->labels, err);
    if (status == NQ_OK && dataset->wnids)
        status = place_trusted(dataset->wnids, false, &in->wnids, err);
    return status == NQ_OK ? NQ_OK : nq_error_prefix(err, "dataset %s", dataset->name);
}

/* A folder that a client names has no class list of its own: wnids mean the same in it. */
static nq_status find_folder(const nq_config *config, const char *path, nq_inputs *in,
                             nq_error *err)
{
    nq_status status = place_named(config, "dataset_path", path, true, &in->dataset, err);
    size_t i = 0;
    while (i < config->dataset_count && !config->datasets[i].wnids)
        i++;
    if (status == NQ_OK && i < config->dataset_count)
        status = place_trusted(config->datasets[i].wnids, false, &in->wnids, err);
    return status;
}

nq_status nq_inputs_find(const nq_config *config, const nq_spec *spec, nq_inputs *in, nq_error *err)
{
    *in = (nq_inputs){0};
    nq_status status = find_model(config, spec, in, err);
    if (status == NQ_OK && *spec->dataset_path)
        status = find_folder(config, spec->dataset_path, in, err);
    else if (status == NQ_OK) {
        const nq_config_dataset *dataset = nq_config_dataset_find(config, spec->dataset);
        status = dataset ? nq_inputs_dataset(dataset, in, err)
                         : unknown_dataset(config, spec->dataset, err);
    }
    if (status == NQ_OK && *spec->calibrate.file)
        status = place_named(config, "calibrate.file", spec->calibrate.file, true, &in->calibration,
                             err);
    if (status == NQ_OK && *spec->quantized)
        status = place_named(config, "quantized", spec->quantized, false, &in->quantized, err);
    return status;
}

void nq_inputs_free(nq_inputs *in)
{
    nq_place *places[] = {&in->checkpoint, &in->dataset,     &in->labels,
                          &in->wnids,      &in->calibration, &in->quantized};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        free(places[i]->root);
        free(places[i]->path);
    }
    *in = (nq_inputs){0};
}
