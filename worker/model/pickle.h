/*
 * The restricted pickle machine: it interprets the opcodes that torch.save() writes (protocols 2 to
 * 5) into plain values, knows the few globals a state_dict needs, and refuses every other by name.
 * Nothing is imported, nothing is called. Used by the checkpoint reader only.
 */
#ifndef NQ_MODEL_PICKLE_H
#define NQ_MODEL_PICKLE_H

#include "common/error.h"
#include "worker/model/checkpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Caps, each refused in one sentence. A state_dict of 10^5 tensors stays below all of them. */
#define NQ_PICKLE_BYTES   (64u << 20)  /* of one pickle */
#define NQ_PICKLE_STEPS   6000000u     /* opcodes over all pickles of a file */
#define NQ_PICKLE_STACK   65536u       /* values on the stack */
#define NQ_PICKLE_MEMO    2000000u     /* memo entries */
#define NQ_PICKLE_MEMORY  (256u << 20) /* bytes of objects */
#define NQ_PICKLE_DEPTH   64           /* marks in marks, containers in containers */
#define NQ_PICKLE_LONG    255u         /* bytes of a long integer */
#define NQ_PICKLE_NAME    256u         /* bytes of a global's module or name */
#define NQ_PICKLE_STORAGE 200000u      /* persistent storages */

typedef enum {
    NQ_PICKLE_ABSENT, /* a memo entry never written */
    NQ_PICKLE_NONE,
    NQ_PICKLE_TRUTH, /* integer is 0 or 1 */
    NQ_PICKLE_INT,
    NQ_PICKLE_LONG_INT, /* more than 64 bits: text holds little-endian two's complement */
    NQ_PICKLE_FLOAT,
    NQ_PICKLE_TEXT, /* str or bytes */
    NQ_PICKLE_TUPLE,
    NQ_PICKLE_LIST,
    NQ_PICKLE_DICT, /* dict or OrderedDict; items: key, value, key, value ... in order */
    NQ_PICKLE_GLOBAL,
    NQ_PICKLE_STORAGE_REF,
    NQ_PICKLE_TENSOR
} nq_pickle_kind;

typedef struct nq_pickle_items nq_pickle_items;
typedef struct nq_pickle_global nq_pickle_global;
typedef struct nq_pickle_storage nq_pickle_storage;
typedef struct nq_pickle_tensor nq_pickle_tensor;

typedef struct {
    nq_pickle_kind kind;
    uint32_t length; /* of text */
    union {
        int64_t integer;
        double real;
        const uint8_t *text; /* points into the pickle's bytes; no NUL at the end */
        nq_pickle_items *items;
        const nq_pickle_global *global;
        nq_pickle_storage *storage;
        nq_pickle_tensor *tensor;
    };
} nq_pickle_value;

struct nq_pickle_items {
    nq_pickle_value *item;
    size_t count, room;
    int depth; /* 1 + the deepest container put in */
};

/* A storage as its persistent id describes it: the bytes are found by the archive's reader. */
struct nq_pickle_storage {
    nq_dtype dtype;
    bool quantized; /* QInt8Storage and its kind: dtype is that of the integers */
    const uint8_t *key;
    uint32_t key_length;
    int64_t count;      /* elements of the whole storage */
    int64_t view_first; /* the part that a legacy storage view shows; 0 and count without one */
    int64_t view_count;
    const uint8_t *bytes; /* set by the archive's reader: count elements, unaligned */
};

/* Not yet checked against the storage: that needs 64-bit care and is done where it is built. */
struct nq_pickle_tensor {
    const nq_pickle_storage *storage;
    int64_t offset; /* elements */
    int dims;
    int64_t shape[NQ_TENSOR_DIMS];
    int64_t stride[NQ_TENSOR_DIMS]; /* elements */
};

/* One machine serves all pickles of a file; it owns all that the values point to, except the
 * pickles' bytes, which must stay until nq_pickle_free(). */
typedef struct nq_pickle nq_pickle;

/* name is the file's, for sentences; it must outlive the machine. */
nq_status nq_pickle_create(const char *name, nq_pickle **pickle, nq_error *err);
void nq_pickle_free(nq_pickle *pickle);

/*
 * Runs the pickle at the start of data[0..size) with an empty stack and memo. *value is its result
 * and *used the number of bytes up to and with STOP. base is added to byte offsets in sentences.
 */
nq_status nq_pickle_run(nq_pickle *pickle, const uint8_t *data, size_t size, size_t base,
                        nq_pickle_value *value, size_t *used, nq_error *err);

/*
 * Storages made so far, sorted by key, every key once (*count). Two persistent ids of one key that
 * disagree in type or size are NQ_ERR_INPUT. nq_pickle_share_bytes() then copies `bytes` of each of
 * those to all storages of the same key.
 */
nq_status nq_pickle_storages(nq_pickle *pickle, nq_pickle_storage ***storages, size_t *count,
                             nq_error *err);
void nq_pickle_share_bytes(nq_pickle *pickle);

/* Whether a text value equals a C string. */
bool nq_pickle_text_is(nq_pickle_value value, const char *text);

/* A text of the file as a C string for sentences: what is not printable ASCII becomes '?', what is
 * too long is cut. Returns out. */
#define NQ_PICKLE_QUOTE 96
const char *nq_pickle_quote(const uint8_t *text, size_t length, char out[NQ_PICKLE_QUOTE]);

#endif
