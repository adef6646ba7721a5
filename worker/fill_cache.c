#include "worker/fill_cache.h"

#include "common/log.h"
#include "common/pool.h"
#include "worker/imagenet/image.h"
#include "worker/job_dataset.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#define NICENESS 10

/* One thread's room. */
typedef struct {
    nq_decoder *decoder;
    uint8_t crop[NQ_CROP_BYTES];
} filler_room;

typedef struct {
    nq_dataset dataset;
    uint32_t *order;
    nq_crop_cache *cache;
    filler_room *rooms;
    int threads;
    nq_progress_report *report;
    pthread_mutex_t lock; /* of what follows */
    size_t done, unreadable;
} filler;

static nq_status fill_record(void *context, size_t record, int thread, nq_error *err)
{
    filler *f = context;
    filler_room *room = &f->rooms[thread];
    uint8_t digest[NQ_CACHED_DIGEST];
    nq_status status = nq_image_read(room->decoder, &f->dataset, f->order[record], f->cache,
                                     (uint32_t)record, room->crop, digest, err);
    bool unreadable = status == NQ_ERR_INPUT;
    if (unreadable)
        nq_log(NQ_LOG_WARN, "image_unreadable", "why", "%s", err->text, NULL);
    else if (status != NQ_OK)
        return status;
    if (nq_crop_cache_counts(f->cache).full)
        return nq_fail(err, NQ_ERR_IO,
                       "the crop cache is full: its limit or the disk leaves no room for all "
                       "%zu images",
                       f->dataset.count);
    pthread_mutex_lock(&f->lock);
    f->done++;
    f->unreadable += unreadable;
    nq_progress_tell(f->report, "cache", f->done, f->dataset.count, err);
    pthread_mutex_unlock(&f->lock);
    return NQ_OK;
}

static nq_status make_rooms(filler *f, int threads, nq_error *err)
{
    f->rooms = calloc((size_t)threads, sizeof *f->rooms);
    if (!f->rooms)
        return nq_fail_nomem(err, "decoders", (size_t)threads * sizeof *f->rooms);
    f->threads = threads;
    nq_status status = NQ_OK;
    for (int i = 0; i < threads && status == NQ_OK; i++)
        status = nq_decoder_create(&f->rooms[i].decoder, err);
    return status;
}

static void clear(filler *f)
{
    for (int i = 0; i < f->threads; i++)
        nq_decoder_free(f->rooms[i].decoder);
    nq_crop_cache_close(f->cache);
    nq_dataset_free(&f->dataset);
    pthread_mutex_destroy(&f->lock);
    free(f->rooms);
    free(f->order);
}

nq_status nq_cache_fill(const nq_job_file *job, nq_progress_report *report, nq_error *err)
{
    filler f = {.report = report, .lock = PTHREAD_MUTEX_INITIALIZER};
    nq_pool *pool = NULL;
    nq_status status =
        job->cache.directory
            ? NQ_OK
            : nq_fail(err, NQ_ERR_INPUT, "job.json: run.cache is missing, so nothing can be kept");
    setpriority(PRIO_PROCESS, 0, NICENESS);
    nq_progress_stage(report, "load");
    if (status == NQ_OK)
        status = nq_job_load_dataset(job, &f.dataset, &f.order, err);
    if (status == NQ_OK)
        status = nq_crop_cache_open(&job->cache, &f.dataset, job->dataset_name,
                                    (uint32_t)f.dataset.count, &f.cache, err);
    if (status == NQ_OK)
        status = nq_pool_create(job->threads, &pool, err);
    if (status == NQ_OK)
        status = make_rooms(&f, job->threads, err);
    nq_progress_stage(report, "cache");
    if (status == NQ_OK)
        status = nq_pool_run(pool, f.dataset.count, fill_record, &f, err);
    nq_progress_close(report);
    if (f.cache) {
        nq_crop_counts counts = nq_crop_cache_counts(f.cache);
        nq_crop_counts_log(&counts);
    }
    nq_pool_free(pool);
    clear(&f);
    return status;
}
