#include "client/specfile.h"

#include "common/json.h"
#include "common/spec.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static nq_status read_standard_input(char **text, size_t *size, nq_error *err)
{
    *text = malloc(NQ_SPEC_FILE_MAX + 1);
    if (!*text)
        return nq_fail_nomem(err, "the spec", NQ_SPEC_FILE_MAX + 1);
    *size = fread(*text, 1, NQ_SPEC_FILE_MAX + 1, stdin);
    if (ferror(stdin))
        return nq_fail_errno(err, errno, "cannot read the spec from standard input");
    return NQ_OK;
}

nq_status nq_specfile_load(const char *path, json_t **spec, nq_error *err)
{
    *spec = NULL;
    if (strcmp(path, "-") != 0)
        return nq_json_load(path, NQ_SPEC_FILE_MAX, spec, err);
    char *text = NULL;
    size_t size = 0;
    nq_status status = read_standard_input(&text, &size, err);
    if (status == NQ_OK)
        status = nq_json_parse(text, size, NQ_SPEC_FILE_MAX, "standard input", spec, err);
    free(text);
    return status;
}

/* $PWD where it is the working directory, else what the system calls that. */
static char *working_directory(void)
{
    const char *named = getenv("PWD");
    struct stat a, b;
    if (named && *named == '/' && stat(named, &a) == 0 && stat(".", &b) == 0 &&
        a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return strdup(named);
    return getcwd(NULL, 0);
}

int nq_specfile_overlay(json_t *spec, const json_t *over)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)over, key, value)
    {
        json_t *below = json_object_get(spec, key);
        int failed = json_is_object(value) && json_is_object(below)
                         ? json_object_update(below, value)
                         : json_object_set(spec, key, value);
        if (failed)
            return -1;
    }
    return 0;
}

char *nq_absolute_path(const char *path)
{
    char *directory = *path == '/' ? strdup("") : working_directory();
    char *joined = NULL;
    if (!directory || asprintf(&joined, "%s/%s", directory, path) < 0)
        joined = NULL;
    free(directory);
    char *clean = joined ? malloc(strlen(joined) + 2) : NULL;
    size_t length = 0;
    char *rest = joined;
    for (char *part; clean && (part = strsep(&rest, "/"));) {
        if (!*part || strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            while (length > 0 && clean[--length] != '/')
                ;
            continue;
        }
        clean[length++] = '/';
        memcpy(clean + length, part, strlen(part));
        length += strlen(part);
    }
    if (clean) {
        if (length == 0)
            clean[length++] = '/';
        clean[length] = 0;
    }
    free(joined);
    return clean;
}

nq_status nq_specfile_make_absolute(json_t *spec, nq_error *err)
{
    for (size_t i = 0; i < nq_spec_field_count; i++) {
        const char *key = nq_spec_fields[i].key, *dot = strchr(key, '.');
        if (nq_spec_fields[i].type != NQ_FIELD_PATH)
            continue;
        json_t *object = spec;
        if (dot) {
            char group[NQ_SPEC_NAME];
            snprintf(group, sizeof group, "%.*s", (int)(dot - key), key);
            object = json_object_get(spec, group);
            key = dot + 1;
        }
        const char *path = json_string_value(json_object_get(object, key));
        if (!path || !*path)
            continue;
        char *absolute = nq_absolute_path(path);
        int failed = json_object_set_new(object, key, absolute ? json_string(absolute) : NULL);
        free(absolute);
        if (failed)
            return nq_fail_nomem(err, "a path", 0);
    }
    return NQ_OK;
}

void nq_specfile_flag(const char *key, char *flag, size_t size)
{
    snprintf(flag, size, "%s", key);
    for (; *flag; flag++)
        if (*flag == '.' || *flag == '_')
            *flag = '-';
}
