#include "server/cache_builder.h"

#include "common/file.h"
#include "common/log.h"
#include "server/slot.h"
#include "server/text.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct nq_cache_builder {
    nq_slot slot;
    const nq_config_dataset *dataset; /* under way, or the latest; NULL: none yet */
    bool failed;
    char message[768]; /* why it failed */
};

static void worker_ended(nq_slot *slot);

nq_status nq_cache_builder_new(nq_daemon *daemon, nq_cache_builder **builder, nq_error *err)
{
    nq_cache_builder *b = *builder = calloc(1, sizeof *b);
    if (!b)
        return nq_fail_nomem(err, "the builder of crop caches", sizeof *b);
    nq_slot *slot = &b->slot;
    slot->daemon = daemon;
    slot->ended = worker_ended;
    slot->log_fd = -1;
    slot->timer.data = slot->pause.data = slot;
    uv_timer_init(daemon->loop, &slot->timer);
    uv_timer_init(daemon->loop, &slot->pause);
    return NQ_OK;
}

void nq_cache_builder_close(nq_cache_builder *b)
{
    uv_close((uv_handle_t *)&b->slot.timer, NULL);
    uv_close((uv_handle_t *)&b->slot.pause, NULL);
}

void nq_cache_builder_free(nq_cache_builder *b)
{
    free(b);
}

static nq_cache_builder *builder_of(nq_slot *slot)
{
    return slot->daemon->builder;
}

/* ---- the end ---- */

static void release(nq_cache_builder *b)
{
    nq_slot *slot = &b->slot;
    nq_log(b->failed ? NQ_LOG_WARN : NQ_LOG_INFO, "cache_build_end", "dataset", "%s",
           b->dataset->name, "failed", "%s", b->message, NULL);
    free(slot->folder);
    slot->folder = NULL;
    slot->state = NQ_SLOT_FREE;
}

/* On the pool: the last words stand in a file. */
static void conclude(uv_work_t *work)
{
    nq_slot *slot = work->data;
    nq_cache_builder *b = builder_of(slot);
    b->failed = slot->end.kind != NQ_END_EXIT || slot->end.code != 0;
    if (b->failed)
        nq_worker_end_text(slot->folder, &slot->end, b->message, sizeof b->message);
}

static void on_concluded(uv_work_t *work, int status)
{
    (void)status;
    nq_slot *slot = work->data;
    release(builder_of(slot));
    nq_daemon_stepped(slot->daemon);
}

static void worker_ended(nq_slot *slot)
{
    slot->work.data = slot;
    nq_daemon_queue(slot->daemon, &slot->work, conclude, on_concluded);
}

/* ---- the beginning ---- */

static void prepare(uv_work_t *work)
{
    nq_slot *slot = work->data;
    slot->prepared = nq_slot_prepare_cache(slot, builder_of(slot)->dataset, &slot->err);
}

static void on_prepared(uv_work_t *work, int status)
{
    (void)status;
    nq_slot *slot = work->data;
    nq_daemon *d = slot->daemon;
    nq_cache_builder *b = builder_of(slot);
    bool unwanted = d->stopping || slot->kill != NQ_KILL_NONE;
    if (!unwanted && slot->prepared == NQ_OK) {
        if (!nq_slot_spawn(slot)) {
            slot->state = NQ_SLOT_ENDING;
            worker_ended(slot);
        }
    } else {
        if (slot->log_fd >= 0)
            close(slot->log_fd);
        slot->log_fd = -1;
        b->failed = true;
        snprintf(b->message, sizeof b->message, "%s", unwanted ? "it was stopped" : slot->err.text);
        release(b);
    }
    nq_daemon_stepped(d);
}

nq_status nq_cache_builder_begin(nq_cache_builder *b, const nq_config_dataset *dataset,
                                 nq_error *err)
{
    nq_slot *slot = &b->slot;
    nq_daemon *d = slot->daemon;
    if (slot->state != NQ_SLOT_FREE && b->dataset == dataset)
        return NQ_OK;
    if (slot->state != NQ_SLOT_FREE)
        return nq_fail(err, NQ_ERR_STATE,
                       "the crops of %s are being made: one dataset at a time, try again later",
                       b->dataset->name);
    slot->folder = nq_path_join(d->config->state, "cache-build");
    if (!slot->folder)
        return nq_fail_nomem(err, "a path", strlen(d->config->state));
    b->dataset = dataset;
    b->failed = false;
    *b->message = 0;
    slot->state = NQ_SLOT_PREPARING;
    slot->kill = NQ_KILL_NONE;
    slot->err = (nq_error){0};
    slot->progress = (nq_progress_state){0};
    slot->work.data = slot;
    nq_log(NQ_LOG_INFO, "cache_build", "dataset", "%s", dataset->name, NULL);
    nq_daemon_queue(d, &slot->work, prepare, on_prepared);
    return NQ_OK;
}

void nq_cache_builder_cancel(nq_cache_builder *b, const char *dataset)
{
    nq_slot *slot = &b->slot;
    if (slot->state == NQ_SLOT_FREE || (dataset && strcmp(b->dataset->name, dataset) != 0))
        return;
    if (slot->state == NQ_SLOT_PREPARING)
        slot->kill = NQ_KILL_CANCELLED;
    nq_slot_kill(slot, NQ_KILL_CANCELLED);
}

json_t *nq_cache_builder_json(const nq_cache_builder *b)
{
    const nq_slot *slot = &b->slot;
    if (!b->dataset)
        return json_null();
    bool running = slot->state != NQ_SLOT_FREE;
    return json_pack("{s:s, s:s, s:o, s:o}", "dataset", b->dataset->name, "state",
                     running     ? "running"
                     : b->failed ? "failed"
                                 : "done",
                     "progress", running ? nq_progress_to_json(&slot->progress) : json_null(),
                     "message", !running && b->failed ? nq_text_json(b->message) : json_null());
}

void nq_cache_builder_stop(nq_cache_builder *b, bool at_once)
{
    if (at_once)
        nq_slot_kill_at_once(&b->slot);
    else
        nq_slot_kill(&b->slot, NQ_KILL_SHUTDOWN);
}

bool nq_cache_builder_is_idle(const nq_cache_builder *b)
{
    return b->slot.state == NQ_SLOT_FREE;
}
