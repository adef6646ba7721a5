/* Errors: a status for the program, one sentence for the person. */
#ifndef NQ_COMMON_ERROR_H
#define NQ_COMMON_ERROR_H

/* What kind of failure it was: decides what the caller does next, never what the person reads. */
typedef enum {
    NQ_OK = 0,
    NQ_ERR_INPUT,   /* bytes or a request from outside are wrong: the sentence names file, key or
                       offset */
    NQ_ERR_IO,      /* the system refused: open, read, write, disk full */
    NQ_ERR_NOMEM,   /* an allocation failed */
    NQ_ERR_STATE,   /* not now: locked, already running, already done */
    NQ_ERR_MISSING, /* the named thing does not exist */
    NQ_ERR_DENIED,  /* the named thing is not yours, or outside the allowed roots */
    NQ_ERR_CANCELLED,
    NQ_ERR_INTERNAL /* a defect of netq itself */
} nq_status;

/* One human sentence. Zero-initialise it; nq_fail() fills it, truncating at the end of the array.
 */
typedef struct {
    nq_status status;
    char text[768];
} nq_error;

/*
 * Writes the formatted sentence into err (err may be NULL: then only the status is returned) and
 * returns status, so that a failing function ends with `return nq_fail(err, NQ_ERR_INPUT, "...")`.
 * Control characters and bytes that are not UTF-8 become '?': sentences quote file names of
 * strangers.
 */
nq_status nq_fail(nq_error *err, nq_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like nq_fail(NQ_ERR_IO) with ": " and the text of errno `code` appended. */
nq_status nq_fail_errno(nq_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "out of memory (N bytes for WHAT)" as NQ_ERR_NOMEM. */
nq_status nq_fail_nomem(nq_error *err, const char *what, unsigned long long bytes);

/* Puts "PREFIX: " before the sentence in err, to add the name of a file or job on the way up.
 * Returns err->status. */
nq_status nq_error_prefix(nq_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The stable short name of a status, used as error code in the protocol: "bad_input", "io", ... */
const char *nq_status_name(nq_status status);

#endif
