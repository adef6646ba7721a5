/* A structured log: one line an event, `time level event key=value ...`, safe for any bytes. */
#ifndef NQ_COMMON_LOG_H
#define NQ_COMMON_LOG_H

typedef enum { NQ_LOG_DEBUG, NQ_LOG_INFO, NQ_LOG_WARN, NQ_LOG_ERROR } nq_log_level;

/* Lines go to descriptor fd (not owned; default 2); lines below `level` are dropped (default INFO).
 */
void nq_log_open(int fd, nq_log_level level);

/* Lines go to this descriptor too (not owned; -1: to none, the default). */
void nq_log_copy(int fd);

/*
 * nq_log(NQ_LOG_INFO, "job_start", "job", "%d", 12, "model", "%s", name, NULL): the event's name,
 * then triples key, format, value, ended by NULL. A format is one of %s %d %u %lld %zu %g. A value
 * with blanks, quotes or control characters is quoted and escaped. One write(2) a line, so lines of
 * several threads do not mix.
 */
void nq_log(nq_log_level level, const char *event, ...);

#endif
