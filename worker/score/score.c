#include "worker/score/score.h"

#include "worker/imagenet/crop.h"
#include "worker/imagenet/image.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SYNC_SECONDS 5
#define NQ_SLICE_MAX NQ_JOURNAL_RUN

/* One thread's room. */
typedef struct {
    nq_decoder *decoder;
    uint8_t *crops; /* u8 [slice][224][224][3] */
    uint8_t *rows;  /* [slice][row_bytes] */
} score_room;

typedef struct {
    const nq_score_job *job;
    nq_verdict *verdicts;
    score_room *rooms;
    nq_progress progress;
    void *context;
    pthread_mutex_t lock; /* of what follows */
    size_t done;
    time_t synced;
} score_state;

static nq_status read_slice(score_state *s, uint32_t first, int n, score_room *room,
                            nq_verdict *fresh, nq_error *err)
{
    const nq_score_job *job = s->job;
    for (int i = 0; i < n; i++) {
        uint32_t position = first + (uint32_t)i;
        uint8_t *crop = room->crops + (size_t)i * NQ_CROP_BYTES;
        nq_status status = nq_image_read(room->decoder, job->dataset, job->order[position],
                                         job->cache, position, crop, fresh[i].image, err);
        if (status == NQ_OK)
            continue;
        if (status != NQ_ERR_INPUT || job->unreadable == NQ_UNREADABLE_FAIL)
            return status;
        fprintf(stderr, "counted as wrong: %s\n", err->text);
        fresh[i].unreadable = true;
        memset(crop, 0, NQ_CROP_BYTES);
    }
    return NQ_OK;
}

static nq_status note_done(score_state *s, int n, nq_error *err)
{
    nq_status status = NQ_OK;
    pthread_mutex_lock(&s->lock);
    s->done += (size_t)n;
    if (s->progress)
        status = s->progress(s->context, "score", s->done, s->job->count, err);
    time_t now = time(NULL);
    bool sync = now - s->synced >= SYNC_SECONDS;
    if (sync)
        s->synced = now;
    pthread_mutex_unlock(&s->lock);
    return status == NQ_OK && sync ? nq_journal_sync(s->job->journal, err) : status;
}

/* A run of consecutive positions: read, computed together, judged, journalled. */
static nq_status score_positions(score_state *s, uint32_t first, int n, int thread, nq_error *err)
{
    const nq_score_job *job = s->job;
    nq_scorer *scorer = job->scorer;
    score_room *room = &s->rooms[thread];
    nq_verdict fresh[NQ_SLICE_MAX] = {{0}};
    int missing = 0;
    for (int i = 0; i < n; i++)
        missing += !s->verdicts[first + (uint32_t)i].done;
    nq_status status = read_slice(s, first, n, room, fresh, err);
    if (status == NQ_OK)
        status = scorer->run(scorer, thread, room->crops, n, room->rows, err);
    for (int i = 0; i < n && status == NQ_OK; i++) {
        uint8_t *row = room->rows + (size_t)i * scorer->row_bytes;
        int32_t truth = job->dataset->images[job->order[first + (uint32_t)i]].label;
        if (fresh[i].unreadable) {
            memset(row, 0, scorer->row_bytes);
            fresh[i].label = -1;
        } else {
            nq_scorer_judge(scorer, row, truth, &fresh[i].label, &fresh[i].top5);
        }
    }
    if (status == NQ_OK)
        status = nq_journal_add(job->journal, first, n, fresh, room->rows, err);
    if (status == NQ_OK)
        memcpy(&s->verdicts[first], fresh, (size_t)n * sizeof *fresh);
    return status == NQ_OK ? note_done(s, missing, err) : status;
}

static nq_status score_slice(void *context, size_t item, int thread, nq_error *err)
{
    score_state *s = context;
    uint32_t slice = (uint32_t)s->job->scorer->slice;
    uint32_t first = (uint32_t)item * slice;
    uint32_t end = first + slice < s->job->count ? first + slice : s->job->count;
    bool missing = false;
    for (uint32_t p = first; p < end; p++)
        missing |= !s->verdicts[p].done;
    if (s->job->scorer->whole && missing)
        return score_positions(s, first, (int)(end - first), thread, err);
    nq_status status = NQ_OK;
    for (uint32_t p = first; p < end && status == NQ_OK; p++) {
        uint32_t run = p;
        while (run < end && !s->verdicts[run].done)
            run++;
        if (run > p)
            status = score_positions(s, p, (int)(run - p), thread, err);
        p = run;
    }
    return status;
}

static nq_status make_rooms(score_state *s, int threads, nq_error *err)
{
    size_t slice = (size_t)s->job->scorer->slice;
    s->rooms = calloc((size_t)threads, sizeof *s->rooms);
    if (!s->rooms)
        return nq_fail_nomem(err, "scoring", (size_t)threads * sizeof *s->rooms);
    for (int i = 0; i < threads; i++) {
        score_room *room = &s->rooms[i];
        nq_status status = nq_decoder_create(&room->decoder, err);
        if (status != NQ_OK)
            return status;
        room->crops = malloc(slice * NQ_CROP_BYTES);
        room->rows = malloc(slice * s->job->scorer->row_bytes);
        if (!room->crops || !room->rows)
            return nq_fail_nomem(err, "crops", slice * NQ_CROP_BYTES);
    }
    return NQ_OK;
}

static void free_rooms(score_state *s, int threads)
{
    for (int i = 0; s->rooms && i < threads; i++) {
        nq_decoder_free(s->rooms[i].decoder);
        free(s->rooms[i].crops);
        free(s->rooms[i].rows);
    }
    free(s->rooms);
}

nq_status nq_score_run(const nq_score_job *job, nq_pool *pool, nq_progress progress, void *context,
                       nq_verdict *verdicts, nq_error *err)
{
    if (job->scorer->slice < 1 || job->scorer->slice > NQ_SLICE_MAX)
        return nq_fail(err, NQ_ERR_INTERNAL, "slices of %d images", job->scorer->slice);
    score_state s = {.job = job,
                     .verdicts = verdicts,
                     .progress = progress,
                     .context = context,
                     .synced = time(NULL)};
    for (uint32_t p = 0; p < job->count; p++)
        s.done += verdicts[p].done;
    pthread_mutex_init(&s.lock, NULL);
    int threads = nq_pool_threads(pool);
    nq_status status = make_rooms(&s, threads, err);
    size_t slice = (size_t)job->scorer->slice;
    if (status == NQ_OK)
        status = nq_pool_run(pool, (job->count + slice - 1) / slice, score_slice, &s, err);
    free_rooms(&s, threads);
    pthread_mutex_destroy(&s.lock);
    return status == NQ_OK ? nq_journal_sync(job->journal, err) : status;
}
