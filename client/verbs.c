#include "client/verbs.h"

const nq_verb nq_verbs[] = {
    {"submit", "[SPEC.json]", "queue a job, or a group of them", nq_verb_submit},
    {"sweep", "[SPEC.json]", "run a grid of jobs and compare them", nq_verb_sweep},
    {"status", "[JOB|gN]", "what runs and waits, or one job in detail", nq_verb_status},
    {"watch", "[JOB|gN]", "follow jobs as they change", nq_verb_watch},
    {"wait", "JOB|gN...", "wait for the end; exits with the result", nq_verb_wait},
    {"list", "", "all jobs, with filters", nq_verb_list},
    {"cancel", "JOB|gN...", "end jobs before they are done", nq_verb_cancel},
    {"hold", "JOB|gN...", "keep queued jobs from starting", nq_verb_hold},
    {"release", "JOB|gN...", "let held jobs start", nq_verb_release},
    {"get", "JOB|gN [FILE]", "fetch output.txt or another artifact", nq_verb_get},
    {"logs", "JOB", "the log of a job", nq_verb_logs},
    {"models", "", "the networks that jobs can name", nq_verb_models},
    {"datasets", "[NAME]", "the labelled images, and whether they are right", nq_verb_datasets},
    {"cache", "[show|build|drop] [DATASET]", "the decoded images that are kept", nq_verb_cache},
    {"leaderboard", "", "results in the challenge's order", nq_verb_leaderboard},
    {"diff", "A B", "labels that two jobs give differently", nq_verb_diff},
    {"explain", "JOB", "the layers where a quantized network loses most", nq_verb_explain},
    {"spec", "", "the keys and presets of a job spec", nq_verb_spec},
    {NULL, NULL, NULL, NULL}};
