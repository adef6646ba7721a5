/* What a daemon sends: lines become objects that are printed as jobs, then what is left is read as
 * chunks. */
#include "client/connection.h"
#include "client/format.h"
#include "client/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BYTES_MOST 100000 /* fits a socket's buffer: nobody reads while we write */

static void print_job(const json_t *job, FILE *out)
{
    char text[NQ_LONG_TEXT];
    nq_job_progress(job, text);
    nq_job_outcome(job, text);
    nq_job_print(job, out);
    fprintf(out, "%d %d", nq_job_ended(job), nq_job_exit(job));
}

static void read_all(nq_connection *connection, FILE *out)
{
    nq_error err = {0};
    json_t *object;
    while (nq_connection_line(connection, &object, &err) == NQ_OK) {
        const json_t *job = json_object_get(object, "job");
        print_job(json_is_object(job) ? job : object, out);
        bool chunks = json_object_get(object, "bytes") != NULL;
        json_decref(object);
        uint8_t *data = chunks ? malloc(NQ_CHUNK_MAX) : NULL;
        size_t size = 1;
        while (data && size > 0 && nq_connection_chunk(connection, data, &size, &err) == NQ_OK)
            fwrite(data, 1, size, out);
        free(data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    FILE *out = fopen("/dev/null", "w");
    if (size > BYTES_MOST || !out || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
        if (out)
            fclose(out);
        return 0;
    }
    nq_connection *connection = nq_connection_adopt(ends[0]);
    ssize_t written = write(ends[1], data, size);
    shutdown(ends[1], SHUT_WR);
    if (connection && written == (ssize_t)size)
        read_all(connection, out);
    nq_connection_close(connection);
    close(ends[1]);
    fclose(out);
    return 0;
}
