#include "client/quantized.h"

#include "client/format.h"
#include "common/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_BYTES 8

static uint64_t header_length(const uint8_t *data)
{
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | data[i];
    return length;
}

nq_status nq_quantized_arch(const uint8_t *data, size_t size, const char *name, char **arch,
                            nq_error *err)
{
    *arch = NULL;
    if (size < LENGTH_BYTES || header_length(data) > NQ_QUANTIZED_HEADER ||
        header_length(data) > size - LENGTH_BYTES)
        return nq_fail(err, NQ_ERR_INPUT, "%s is not a model.safetensors of netq", name);
    json_t *header = NULL;
    nq_status status = nq_json_parse((const char *)data + LENGTH_BYTES, (size_t)header_length(data),
                                     NQ_QUANTIZED_HEADER, "the header", &header, err);
    if (status != NQ_OK)
        return nq_error_prefix(err, "%s", name);
    const char *text =
        json_string_value(json_object_get(json_object_get(header, "__metadata__"), "arch"));
    if (!text)
        status = nq_fail(err, NQ_ERR_INPUT, "%s: its header names no architecture (arch)", name);
    else if (!(*arch = strdup(text)))
        status = nq_fail_nomem(err, name, strlen(text) + 1);
    json_decref(header);
    return status;
}

static nq_status read_arch(const char *path, char **arch, nq_error *err)
{
    size_t room = LENGTH_BYTES + NQ_QUANTIZED_HEADER, size = 0;
    uint8_t *data = malloc(room);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = -1;
    nq_status status = NQ_OK;
    while (data && fd >= 0 && size < room && (n = read(fd, data + size, room - size)) > 0)
        size += (size_t)n;
    if (!data)
        status = nq_fail_nomem(err, path, room);
    else if (fd < 0 || n < 0)
        status = nq_fail_errno(err, errno, "cannot read %s", path);
    else
        status = nq_quantized_arch(data, size, path, arch, err);
    if (fd >= 0)
        close(fd);
    free(data);
    return status;
}

static nq_status choose(const json_t *models, const char *arch, json_t **chosen, nq_error *err)
{
    size_t i, found = 0;
    json_t *model;
    *chosen = NULL;
    json_array_foreach(models, i, model)
    {
        if (strcmp(nq_view_text(model, "arch"), arch) != 0)
            continue;
        found++;
        *chosen = json_object_get(model, "name");
        if (strcmp(nq_view_text(model, "name"), arch) == 0)
            return NQ_OK;
    }
    if (found == 1)
        return NQ_OK;
    return nq_fail(err, NQ_ERR_INPUT,
                   "the file is of %s, and the daemon's configuration has %s of that architecture: "
                   "say which with --model",
                   arch, found ? "several models" : "no model");
}

nq_status nq_quantized_choose_model(nq_client *client, json_t *spec, nq_error *err)
{
    const char *path = json_string_value(json_object_get(spec, "quantized"));
    json_t *reply = NULL, *chosen = NULL;
    char *arch = NULL;
    if (!path || json_object_get(spec, "model"))
        return NQ_OK;
    nq_status status = read_arch(path, &arch, err);
    if (status == NQ_OK)
        status = nq_client_ask(client, nq_request("models"), &reply, err);
    if (status == NQ_OK)
        status = choose(json_object_get(reply, "models"), arch, &chosen, err);
    if (status == NQ_OK && json_object_set(spec, "model", chosen) != 0)
        status = nq_fail_nomem(err, "the spec", 0);
    json_decref(reply);
    free(arch);
    return status;
}
