#include "client/metrics.h"

#include "client/download.h"

#include <stdlib.h>

nq_status nq_metrics_fetch(nq_client *client, long long job, json_t **metrics, nq_error *err)
{
    json_t *request = nq_request("get"), *reply = NULL;
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    *metrics = NULL;
    if (!memory) {
        json_decref(request);
        return nq_fail_nomem(err, "metrics.json", 0);
    }
    json_object_set_new(request, "job", json_integer(job));
    json_object_set_new(request, "file", json_string("metrics.json"));
    nq_status status = nq_client_ask(client, request, &reply, err);
    if (status == NQ_OK)
        status = nq_download_stream(client, reply, memory, 0, NULL, err);
    fclose(memory);
    if (status == NQ_OK)
        *metrics = json_loadb(text, size, 0, NULL);
    if (status == NQ_OK && !json_is_object(*metrics))
        status = nq_fail(err, NQ_ERR_INPUT, "metrics.json of job %lld is not a JSON object", job);
    json_decref(reply);
    free(text);
    return status;
}
