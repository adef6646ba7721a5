/* The worker's process: started, listened to, watched over by a clock, and killed. */
#include "server/slot.h"

#include "common/log.h"
#include "server/watch.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_MS 5000 /* between SIGTERM and SIGKILL */
#define PAUSE_MS 50   /* between two reads of the progress pipe: bounds what a worker can cost */

static void on_worker_exit(uv_process_t *process, int64_t status, int signal_number);

/* ---- clock ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

static uint64_t stall_at(const nq_slot *slot)
{
    uint64_t limit = (uint64_t)slot->daemon->config->stall_seconds * 1000;
    return limit && slot->kill == NQ_KILL_NONE ? slot->heard + limit : 0;
}

static uint64_t time_at(const nq_slot *slot)
{
    uint64_t limit = (uint64_t)slot->daemon->config->job_seconds * 1000;
    return limit && slot->kill == NQ_KILL_NONE ? slot->begun + limit : 0;
}

static void on_deadline(uv_timer_t *timer);

static void set_clock(nq_slot *slot)
{
    uint64_t now = uv_now(slot->daemon->loop);
    uint64_t next = earlier(slot->kill_at, earlier(stall_at(slot), time_at(slot)));
    if (next)
        uv_timer_start(&slot->timer, on_deadline, next > now ? next - now : 0, 0);
    else
        uv_timer_stop(&slot->timer);
}

static void on_deadline(uv_timer_t *timer)
{
    nq_slot *slot = timer->data;
    uint64_t now = uv_now(slot->daemon->loop);
    if (slot->state != NQ_SLOT_RUNNING)
        return;
    if (slot->kill_at && slot->kill_at <= now)
        nq_slot_kill_at_once(slot);
    else if (time_at(slot) && time_at(slot) <= now)
        nq_slot_kill(slot, NQ_KILL_TIME);
    else if (stall_at(slot) && stall_at(slot) <= now)
        nq_slot_kill(slot, NQ_KILL_STALLED);
    else
        set_clock(slot); /* it was heard of meanwhile */
}

/* ---- killing ---- */

/* The worker leads a process group of its own: whatever it started goes with it. */
static void signal_group(const nq_slot *slot, int signal_number)
{
    kill(-slot->process.pid, signal_number);
}

void nq_slot_kill(nq_slot *slot, nq_kill_reason reason)
{
    static const char *const names[] = {"", "cancelled", "stalled", "time limit", "shutdown"};
    if (slot->state != NQ_SLOT_RUNNING || slot->kill != NQ_KILL_NONE)
        return;
    nq_log(NQ_LOG_INFO, "worker_stop", "job", "%lld", (long long)slot->job.id, "why", "%s",
           names[reason], NULL);
    slot->kill = reason;
    slot->kill_at = uv_now(slot->daemon->loop) + GRACE_MS;
    signal_group(slot, SIGTERM);
    set_clock(slot);
}

void nq_slot_kill_at_once(nq_slot *slot)
{
    if (slot->state != NQ_SLOT_RUNNING)
        return;
    slot->kill_at = 0;
    signal_group(slot, SIGKILL);
    set_clock(slot);
}

/* ---- progress ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    nq_slot *slot = handle->data;
    *buffer = uv_buf_init(slot->input, sizeof slot->input);
}

static void on_progress(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer);

static void on_pause_over(uv_timer_t *timer)
{
    nq_slot *slot = timer->data;
    uv_read_start((uv_stream_t *)&slot->pipe, on_alloc, on_progress);
}

static void on_progress(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    nq_slot *slot = stream->data;
    if (n < 0) {
        uv_read_stop(stream);
        return;
    }
    double now = (double)uv_now(slot->daemon->loop) / 1000;
    if (n > 0 && nq_progress_feed(&slot->progress, buffer->base, (size_t)n, now) > 0) {
        slot->heard = uv_now(slot->daemon->loop);
        if (slot->job.id > 0)
            nq_watch_changed(slot->daemon, slot->job.id, slot->job.group);
    }
    uv_read_stop(stream);
    uv_timer_start(&slot->pause, on_pause_over, PAUSE_MS, 0);
}

/* ---- start and end ---- */

bool nq_slot_spawn(nq_slot *slot)
{
    const nq_config *config = slot->daemon->config;
    char *arguments[] = {config->worker, slot->folder, NULL};
    uv_stdio_container_t streams[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = slot->log_fd},
        {.flags = UV_INHERIT_FD, .data.fd = slot->log_fd},
        {.flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE),
         .data.stream = (uv_stream_t *)&slot->pipe}};
    uv_process_options_t options = {.exit_cb = on_worker_exit,
                                    .file = config->worker,
                                    .args = arguments,
                                    .cwd = slot->folder,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = 4,
                                    .stdio = streams};
    uv_pipe_init(slot->daemon->loop, &slot->pipe, 0);
    slot->pipe.data = slot->process.data = slot;
    int code = uv_spawn(slot->daemon->loop, &slot->process, &options);
    close(slot->log_fd);
    slot->log_fd = -1;
    if (code != 0) {
        slot->end = (nq_worker_end){.kind = NQ_END_START};
        snprintf(slot->end.text, sizeof slot->end.text, "%s: %s", config->worker,
                 uv_strerror(code));
        uv_close((uv_handle_t *)&slot->pipe, NULL);
        uv_close((uv_handle_t *)&slot->process, NULL);
        return false;
    }
    slot->state = NQ_SLOT_RUNNING;
    slot->kill = NQ_KILL_NONE;
    slot->kill_at = 0;
    slot->begun = slot->heard = uv_now(slot->daemon->loop);
    slot->progress = (nq_progress_state){0};
    uv_read_start((uv_stream_t *)&slot->pipe, on_alloc, on_progress);
    set_clock(slot);
    nq_log(NQ_LOG_INFO, "worker_start", "job", "%lld", (long long)slot->job.id, "pid", "%d",
           slot->process.pid, "model", "%s", slot->job.model, "preset", "%s", slot->job.preset,
           "attempt", "%d", slot->job.attempts + 1, NULL);
    return true;
}

static nq_worker_end describe_end(const nq_slot *slot, int64_t status, int signal_number)
{
    const nq_config *config = slot->daemon->config;
    switch (slot->kill) {
    case NQ_KILL_STALLED:
        return (nq_worker_end){.kind = NQ_END_STALLED, .code = config->stall_seconds};
    case NQ_KILL_TIME:
        return (nq_worker_end){.kind = NQ_END_TIME, .code = config->job_seconds};
    case NQ_KILL_SHUTDOWN:
    case NQ_KILL_CANCELLED:
        return (nq_worker_end){.kind = NQ_END_DAEMON};
    case NQ_KILL_NONE:
        break;
    }
    if (signal_number)
        return (nq_worker_end){.kind = NQ_END_SIGNAL, .code = signal_number};
    return (nq_worker_end){.kind = NQ_END_EXIT, .code = (int)status};
}

static void on_pipe_closed(uv_handle_t *handle)
{
    nq_slot *slot = handle->data;
    slot->ended(slot);
}

static void on_process_closed(uv_handle_t *handle)
{
    nq_slot *slot = handle->data;
    uv_close((uv_handle_t *)&slot->pipe, on_pipe_closed);
}

static void on_worker_exit(uv_process_t *process, int64_t status, int signal_number)
{
    nq_slot *slot = process->data;
    slot->state = NQ_SLOT_ENDING;
    slot->end = describe_end(slot, status, signal_number);
    uv_timer_stop(&slot->timer);
    uv_timer_stop(&slot->pause);
    nq_log(NQ_LOG_INFO, "worker_end", "job", "%lld", (long long)slot->job.id, "status", "%lld",
           (long long)status, "signal", "%d", signal_number, "messages", "%u",
           slot->progress.messages, "garbage", "%u", slot->progress.garbage, NULL);
    uv_close((uv_handle_t *)process, on_process_closed);
}
