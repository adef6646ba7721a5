#include "server/scheduler.h"

#include "common/log.h"
#include "server/slot.h"
#include "server/watch.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_RETRY 60 /* seconds between attempts to write a job's end into the queue */

/* A job that waits to be tried again. */
typedef struct {
    int64_t id;
    uint64_t until; /* loop time in ms */
} backoff;

struct nq_scheduler {
    nq_daemon *daemon;
    int slot_count;
    backoff *waiting;
    size_t waiting_count, waiting_room;
    nq_id_list except; /* their ids, for the claim under way */
    bool claiming, again;
    uv_timer_t timer; /* the end of the shortest wait */
    bool closed;
    nq_slot slots[];
};

static void try_claim(nq_scheduler *s);
static void tell_queue(nq_slot *slot);
static void worker_ended(nq_slot *slot);

/* ---- waiting to be tried again ---- */

static void on_waited(uv_timer_t *timer)
{
    nq_scheduler *s = timer->data;
    nq_scheduler_wake(s->daemon);
}

static void forget_waits(nq_scheduler *s, int64_t id, uint64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->waiting_count; i++)
        if (s->waiting[i].id != id && s->waiting[i].until > now)
            s->waiting[kept++] = s->waiting[i];
    s->waiting_count = kept;
}

static void add_wait(nq_scheduler *s, int64_t id, double seconds)
{
    if (s->waiting_count == s->waiting_room) {
        size_t room = s->waiting_room + 16;
        backoff *grown = realloc(s->waiting, room * sizeof *grown);
        if (!grown)
            return; /* then it is tried again at once */
        s->waiting = grown;
        s->waiting_room = room;
    }
    s->waiting[s->waiting_count++] =
        (backoff){id, uv_now(s->daemon->loop) + (uint64_t)(seconds * 1000)};
}

static void set_timer(nq_scheduler *s)
{
    uint64_t next = 0, now = uv_now(s->daemon->loop);
    for (size_t i = 0; i < s->waiting_count; i++)
        if (!next || s->waiting[i].until < next)
            next = s->waiting[i].until;
    if (next)
        uv_timer_start(&s->timer, on_waited, next > now ? next - now : 0, 0);
    else
        uv_timer_stop(&s->timer);
}

/* ---- claiming ---- */

static nq_status claim(nq_store *store, nq_store_request *request, nq_error *err)
{
    nq_slot *slot = request->context;
    return nq_store_claim(store, &slot->daemon->scheduler->except, nq_time_now(), &slot->job,
                          &slot->float_job, &slot->found, err);
}

static void release(nq_slot *slot)
{
    nq_daemon *d = slot->daemon;
    nq_job_clear(&slot->job);
    free(slot->ending.artifacts);
    free(slot->folder);
    slot->ending.artifacts = NULL;
    slot->folder = NULL;
    slot->state = NQ_SLOT_FREE;
    nq_scheduler_wake(d);
}

static void prepare(uv_work_t *work)
{
    nq_slot *slot = work->data;
    slot->prepared =
        slot->folder ? nq_slot_prepare(slot, &slot->err) : nq_fail_nomem(&slot->err, "a path", 0);
}

/* What is wrong with the job itself stays wrong; anything else may pass. */
static void refuse(nq_slot *slot)
{
    bool final = slot->prepared == NQ_ERR_INPUT || slot->prepared == NQ_ERR_MISSING ||
                 slot->prepared == NQ_ERR_DENIED;
    slot->state = NQ_SLOT_ENDING;
    if (!final) {
        slot->end = (nq_worker_end){.kind = NQ_END_START};
        snprintf(slot->end.text, sizeof slot->end.text, "%.500s", slot->err.text);
        worker_ended(slot);
        return;
    }
    slot->ending = (nq_ending){.state = NQ_STATE_FAILED, .attempts = 1};
    slot->wait_seconds = 0;
    memcpy(slot->ending.reason, slot->err.text, sizeof slot->ending.reason);
    tell_queue(slot);
}

static void on_prepared(uv_work_t *work, int status)
{
    (void)status;
    nq_slot *slot = work->data;
    nq_daemon *d = slot->daemon;
    bool unwanted = d->stopping || slot->kill == NQ_KILL_CANCELLED;
    if (unwanted || slot->prepared != NQ_OK) {
        if (slot->log_fd >= 0)
            close(slot->log_fd);
        slot->log_fd = -1;
    }
    if (unwanted)
        release(slot); /* cancelled, or goes on at the next start */
    else if (slot->prepared != NQ_OK)
        refuse(slot);
    else if (!nq_slot_spawn(slot)) {
        slot->state = NQ_SLOT_ENDING;
        worker_ended(slot);
    }
    nq_daemon_stepped(d);
}

static void on_claimed(nq_store_request *request)
{
    nq_slot *slot = request->context;
    nq_daemon *d = slot->daemon;
    nq_scheduler *s = d->scheduler;
    s->claiming = false;
    if (request->status != NQ_OK) {
        nq_log(NQ_LOG_ERROR, "claim_failed", "why", "%s", request->err.text, NULL);
        slot->state = NQ_SLOT_FREE;
        nq_job_clear(&slot->job);
        add_wait(s, -1, 5); /* no job's id: only the clock */
    } else if (!slot->found) {
        slot->state = NQ_SLOT_FREE;
    } else {
        slot->state = NQ_SLOT_PREPARING;
        slot->kill = NQ_KILL_NONE;
        slot->log_fd = -1;
        slot->store_failures = 0;
        slot->progress = (nq_progress_state){0};
        slot->folder = nq_daemon_job_folder(d->config, slot->job.id);
        slot->work.data = slot;
        nq_watch_changed(d, slot->job.id, slot->job.group);
        nq_daemon_queue(d, &slot->work, prepare, on_prepared);
        s->again = true;
    }
    if (s->again)
        try_claim(s);
    set_timer(s);
    nq_daemon_stepped(d);
}

/* One claim at a time, so that two slots never wait for one job. */
static void try_claim(nq_scheduler *s)
{
    nq_daemon *d = s->daemon;
    nq_slot *slot = NULL;
    for (int i = 0; i < s->slot_count && !slot; i++)
        if (s->slots[i].state == NQ_SLOT_FREE)
            slot = &s->slots[i];
    s->again = s->claiming;
    if (s->claiming || !slot || d->stopping)
        return;
    s->except.count = 0;
    for (size_t i = 0; i < s->waiting_count; i++)
        if (nq_id_list_add(&s->except, s->waiting[i].id, NULL) != NQ_OK)
            break; /* then one is tried again too early */
    s->claiming = true;
    slot->state = NQ_SLOT_CLAIMING;
    slot->request =
        (nq_store_request){.work = claim, .done = on_claimed, .writes = true, .context = slot};
    nq_daemon_post(d, &slot->request);
}

void nq_scheduler_wake(nq_daemon *daemon)
{
    nq_scheduler *s = daemon->scheduler;
    if (daemon->stopping)
        return;
    forget_waits(s, 0, uv_now(daemon->loop));
    try_claim(s);
    set_timer(s);
}

/* ---- ending ---- */

static nq_status finish(nq_store *store, nq_store_request *request, nq_error *err)
{
    nq_slot *slot = request->context;
    return nq_store_finish(store, slot->job.id, &slot->ending, nq_time_now(), &slot->applied, err);
}

static void on_retry(uv_timer_t *timer)
{
    tell_queue(timer->data);
}

/* The row must hear of the end: a full disk is waited out. At a shutdown the folder keeps it, and
 * the next start finds it there. */
static void retry_later(nq_slot *slot, const char *why)
{
    unsigned seconds = 1u << (slot->store_failures < 6 ? slot->store_failures : 6);
    slot->store_failures++;
    nq_log(NQ_LOG_ERROR, "end_not_recorded", "job", "%lld", (long long)slot->job.id, "why", "%s",
           why, NULL);
    if (slot->daemon->stopping)
        release(slot);
    else
        uv_timer_start(&slot->timer, on_retry,
                       1000ull * (seconds < LONGEST_RETRY ? seconds : LONGEST_RETRY), 0);
}

static void on_finished(nq_store_request *request)
{
    nq_slot *slot = request->context;
    nq_daemon *d = slot->daemon;
    if (request->status != NQ_OK) {
        retry_later(slot, request->err.text);
    } else {
        int64_t id = slot->job.id, group = slot->job.group;
        if (slot->applied)
            nq_log(NQ_LOG_INFO, "job_end", "job", "%lld", (long long)id, "state", "%s",
                   nq_job_state_name(slot->ending.state), "reason", "%s", slot->ending.reason,
                   NULL);
        if (slot->applied && slot->wait_seconds > 0)
            add_wait(d->scheduler, id, slot->wait_seconds);
        release(slot);
        nq_watch_changed(d, id, group);
    }
    nq_daemon_stepped(d);
}

static void tell_queue(nq_slot *slot)
{
    slot->request =
        (nq_store_request){.work = finish, .done = on_finished, .writes = true, .context = slot};
    nq_daemon_post(slot->daemon, &slot->request);
}

static void reconcile(uv_work_t *work)
{
    nq_slot *slot = work->data;
    nq_reconcile(slot->folder ? slot->folder : "", &slot->job, &slot->end,
                 slot->daemon->config->attempts, &slot->ending, &slot->wait_seconds);
}

static void on_reconciled(uv_work_t *work, int status)
{
    (void)status;
    nq_slot *slot = work->data;
    nq_daemon *d = slot->daemon;
    /* Stopped by the daemon before its end: the row stays running, and goes on at the next start.
     */
    if (slot->end.kind == NQ_END_DAEMON && slot->ending.state == NQ_STATE_QUEUED)
        release(slot);
    else
        tell_queue(slot);
    nq_daemon_stepped(d);
}

static void worker_ended(nq_slot *slot)
{
    slot->work.data = slot;
    nq_daemon_queue(slot->daemon, &slot->work, reconcile, on_reconciled);
}

void nq_scheduler_cancel(nq_daemon *daemon, int64_t id)
{
    nq_scheduler *s = daemon->scheduler;
    forget_waits(s, id, 0);
    for (int i = 0; i < s->slot_count; i++) {
        nq_slot *slot = &s->slots[i];
        if (slot->state == NQ_SLOT_FREE || slot->state == NQ_SLOT_CLAIMING || slot->job.id != id)
            continue;
        if (slot->state == NQ_SLOT_RUNNING)
            nq_slot_kill(slot, NQ_KILL_CANCELLED);
        else if (slot->state == NQ_SLOT_PREPARING)
            slot->kill = NQ_KILL_CANCELLED;
    }
}

void nq_scheduler_add_progress(nq_daemon *daemon, json_t *object)
{
    const nq_scheduler *s = daemon->scheduler;
    int64_t id = json_integer_value(json_object_get(object, "job"));
    const char *state = json_string_value(json_object_get(object, "state"));
    if (!state || strcmp(state, "running") != 0)
        return;
    for (int i = 0; i < s->slot_count; i++)
        if (s->slots[i].job.id == id && s->slots[i].state != NQ_SLOT_FREE &&
            s->slots[i].state != NQ_SLOT_CLAIMING)
            json_object_set_new(object, "progress", nq_progress_to_json(&s->slots[i].progress));
}

/* ---- life ---- */

nq_status nq_scheduler_new(nq_daemon *daemon, nq_error *err)
{
    int slots = daemon->config->jobs;
    size_t bytes = sizeof(nq_scheduler) + (size_t)slots * sizeof(nq_slot);
    nq_scheduler *s = calloc(1, bytes);
    if (!s)
        return nq_fail_nomem(err, "the scheduler", bytes);
    s->daemon = daemon;
    s->slot_count = slots;
    s->timer.data = s;
    uv_timer_init(daemon->loop, &s->timer);
    for (int i = 0; i < slots; i++) {
        nq_slot *slot = &s->slots[i];
        slot->daemon = daemon;
        slot->ended = worker_ended;
        slot->log_fd = -1;
        slot->timer.data = slot->pause.data = slot;
        uv_timer_init(daemon->loop, &slot->timer);
        uv_timer_init(daemon->loop, &slot->pause);
    }
    daemon->scheduler = s;
    return NQ_OK;
}

void nq_scheduler_stop(nq_daemon *daemon, bool at_once)
{
    nq_scheduler *s = daemon->scheduler;
    uv_timer_stop(&s->timer);
    for (int i = 0; i < s->slot_count; i++) {
        nq_slot *slot = &s->slots[i];
        if (at_once)
            nq_slot_kill_at_once(slot);
        else
            nq_slot_kill(slot, NQ_KILL_SHUTDOWN);
        if (slot->state == NQ_SLOT_ENDING && uv_is_active((uv_handle_t *)&slot->timer)) {
            uv_timer_stop(&slot->timer); /* it waited to tell a queue that could not be written */
            release(slot);
        }
    }
}

bool nq_scheduler_is_idle(const nq_daemon *daemon)
{
    const nq_scheduler *s = daemon->scheduler;
    for (int i = 0; i < s->slot_count; i++)
        if (s->slots[i].state != NQ_SLOT_FREE)
            return false;
    return true;
}

void nq_scheduler_close(nq_daemon *daemon)
{
    nq_scheduler *s = daemon->scheduler;
    uv_close((uv_handle_t *)&s->timer, NULL);
    for (int i = 0; i < s->slot_count; i++) {
        uv_close((uv_handle_t *)&s->slots[i].timer, NULL);
        uv_close((uv_handle_t *)&s->slots[i].pause, NULL);
    }
}

void nq_scheduler_free(nq_scheduler *s)
{
    if (!s)
        return;
    free(s->waiting);
    nq_id_list_free(&s->except);
    free(s);
}
