/* Lines of a client: parsed as requests; the specs of a submit are resolved as the daemon does;
 * replies to them can always be written. */
#include "common/spec.h"
#include "server/protocol.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resolve(const json_t *written)
{
    nq_spec spec;
    nq_error err = {0};
    if (!json_is_object(written) || nq_spec_resolve(written, &spec, &err) != NQ_OK)
        return;
    json_t *canonical = nq_spec_to_json(&spec);
    nq_spec again;
    if (!canonical || nq_spec_resolve(canonical, &again, &err) != NQ_OK)
        abort(); /* the queue keeps the canonical form and reads it back */
    json_decref(canonical);
}

static void one_line(const char *line, size_t size)
{
    nq_request request;
    nq_error err = {0};
    size_t length;
    nq_status status = nq_request_parse(line, size, &request, &err);
    char *reply = status == NQ_OK
                      ? nq_reply_line(request.id, json_object(), &length)
                      : nq_error_line(request.id, nq_protocol_code(status), err.text, &length);
    if (!reply || memchr(reply, '\n', length) != reply + length - 1)
        abort(); /* one reply, one line */
    free(reply);
    if (status == NQ_OK && request.op == NQ_OP_SUBMIT) {
        size_t i;
        json_t *spec;
        resolve(json_object_get(request.object, "spec"));
        json_array_foreach(json_object_get(request.object, "specs"), i, spec)
        {
            resolve(spec);
        }
    }
    nq_request_clear(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data;
    while (size > 0) {
        const char *newline = memchr(at, '\n', size);
        size_t n = newline ? (size_t)(newline - at) : size;
        one_line(at, n);
        n += newline != NULL;
        at += n;
        size -= n;
    }
    return 0;
}
