#include "worker/model/pickle_internal.h"

#include <stdlib.h>
#include <string.h>

/* One pickle being run. Handlers return false once err is filled. */
typedef struct {
    nq_pickle *pickle;
    const uint8_t *data;
    size_t size, at;
    bool cut; /* size is the cap, not the end of the file */
    nq_pickle_value *stack;
    size_t count, room;
    size_t mark[NQ_PICKLE_DEPTH]; /* stack heights */
    int marks;
    nq_pickle_value *memo;
    size_t memo_room, memo_count;
    bool stopped;
    nq_error *err;
} run;

/* False, with the sentence written. */
#define refuse(r, ...) (nq_pickle_refuse((r)->pickle, (r)->err, __VA_ARGS__) == NQ_OK)

static const uint8_t *take(run *r, size_t size)
{
    if (size > r->size - r->at) {
        nq_pickle_refuse(r->pickle, r->err,
                         r->cut ? "the pickle is longer than 64 MiB: refused"
                                : "the pickle ends inside an opcode: the file is truncated or "
                                  "damaged");
        return NULL;
    }
    const uint8_t *bytes = r->data + r->at;
    r->at += size;
    return bytes;
}

static bool take_integer(run *r, int width, uint64_t *integer)
{
    const uint8_t *bytes = take(r, (size_t)width);
    *integer = 0;
    for (int i = 0; bytes && i < width; i++)
        *integer |= (uint64_t)bytes[i] << (8 * i);
    return bytes != NULL;
}

static bool push(run *r, nq_pickle_value value)
{
    if (r->count == NQ_PICKLE_STACK)
        return refuse(r, "more than %u values on the pickle's stack: refused", NQ_PICKLE_STACK);
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 256;
        nq_pickle_value *grown = realloc(r->stack, room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(r->err, "the pickle's stack", room * sizeof *grown), false;
        r->stack = grown;
        r->room = room;
    }
    r->stack[r->count++] = value;
    return true;
}

/* Values above the last mark. */
static size_t above_mark(const run *r)
{
    return r->count - (r->marks ? r->mark[r->marks - 1] : 0);
}

static bool need(run *r, size_t values)
{
    return above_mark(r) >= values ? true
                                   : refuse(r, "an opcode finds too few values on the stack");
}

static bool pop_mark(run *r, size_t *first)
{
    if (r->marks == 0)
        return refuse(r, "an opcode finds no mark on the stack");
    *first = r->mark[--r->marks];
    return true;
}

static bool op_protocol(run *r, uint8_t op)
{
    (void)op;
    uint64_t version;
    if (!take_integer(r, 1, &version))
        return false;
    return version >= 2 && version <= 5
               ? true
               : refuse(r, "pickle protocol %d is not one of 2 to 5", (int)version);
}

static bool op_frame(run *r, uint8_t op)
{
    (void)op;
    uint64_t length;
    if (!take_integer(r, 8, &length))
        return false;
    return length <= r->size - r->at ? true : refuse(r, "a frame is longer than the pickle");
}

static bool op_stop(run *r, uint8_t op)
{
    (void)op;
    r->stopped = true;
    if (r->marks != 0 || r->count != 1)
        return refuse(r, "the pickle stops with %zu values on the stack instead of one", r->count);
    return true;
}

static bool op_mark(run *r, uint8_t op)
{
    (void)op;
    if (r->marks == NQ_PICKLE_DEPTH)
        return refuse(r, "marks are nested deeper than %d: refused", NQ_PICKLE_DEPTH);
    r->mark[r->marks++] = r->count;
    return true;
}

static bool op_constant(run *r, uint8_t op)
{
    if (op == 'N')
        return push(r, (nq_pickle_value){.kind = NQ_PICKLE_NONE});
    return push(r, (nq_pickle_value){.kind = NQ_PICKLE_TRUTH, .integer = op == 0x88});
}

static bool op_integer(run *r, uint8_t op)
{
    uint64_t bits;
    if (!take_integer(r, op == 'J' ? 4 : op == 'M' ? 2 : 1, &bits))
        return false;
    int64_t integer = op == 'J' ? (int64_t)(int32_t)(uint32_t)bits : (int64_t)bits;
    return push(r, (nq_pickle_value){.kind = NQ_PICKLE_INT, .integer = integer});
}

static bool op_long(run *r, uint8_t op)
{
    uint64_t length;
    if (!take_integer(r, op == 0x8a ? 1 : 4, &length))
        return false;
    if (length > NQ_PICKLE_LONG)
        return refuse(r, "an integer of more than %u bytes: refused", NQ_PICKLE_LONG);
    const uint8_t *bytes = take(r, length);
    if (!bytes)
        return false;
    if (length > 8)
        return push(r, (nq_pickle_value){
                           .kind = NQ_PICKLE_LONG_INT, .length = (uint32_t)length, .text = bytes});
    uint64_t bits = length && bytes[length - 1] & 0x80 ? ~(uint64_t)0 : 0;
    for (size_t i = length; i-- > 0;)
        bits = bits << 8 | bytes[i];
    return push(r, (nq_pickle_value){.kind = NQ_PICKLE_INT, .integer = (int64_t)bits});
}

static bool op_float(run *r, uint8_t op)
{
    (void)op;
    const uint8_t *bytes = take(r, 8);
    if (!bytes)
        return false;
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    nq_pickle_value value = {.kind = NQ_PICKLE_FLOAT};
    memcpy(&value.real, &bits, sizeof bits);
    return push(r, value);
}

static bool op_text(run *r, uint8_t op)
{
    bool wide = op == 0x8d || op == 0x8e;               /* BINUNICODE8, BINBYTES8 */
    bool narrow = op == 0x8c || op == 'U' || op == 'C'; /* SHORT_... */
    uint64_t length;
    if (!take_integer(r, wide ? 8 : narrow ? 1 : 4, &length))
        return false;
    const uint8_t *bytes = take(r, length);
    return bytes && push(r, (nq_pickle_value){
                                .kind = NQ_PICKLE_TEXT, .length = (uint32_t)length, .text = bytes});
}

static bool push_container(run *r, nq_pickle_kind kind, size_t first)
{
    nq_pickle_items *items = nq_pickle_alloc(r->pickle, sizeof *items, r->err);
    if (!items)
        return false;
    items->depth = 1;
    for (size_t i = first; i < r->count; i++)
        if (nq_pickle_items_add(r->pickle, items, r->stack[i], r->err) != NQ_OK)
            return false;
    r->count = first;
    return push(r, (nq_pickle_value){.kind = kind, .items = items});
}

static bool op_empty(run *r, uint8_t op)
{
    nq_pickle_kind kind = op == ')' ? NQ_PICKLE_TUPLE : op == ']' ? NQ_PICKLE_LIST : NQ_PICKLE_DICT;
    return push_container(r, kind, r->count);
}

static bool op_tuple(run *r, uint8_t op)
{
    size_t first = 0;
    if (op == 't')
        return pop_mark(r, &first) && push_container(r, NQ_PICKLE_TUPLE, first);
    size_t values = (size_t)(op - 0x84); /* TUPLE1, TUPLE2, TUPLE3 */
    return need(r, values) && push_container(r, NQ_PICKLE_TUPLE, r->count - values);
}

/* APPEND and APPENDS, SETITEM and SETITEMS: the values from the top into what lies below them. */
static bool op_fill(run *r, uint8_t op)
{
    bool list = op == 'a' || op == 'e';
    size_t first = 0;
    if (op == 'e' || op == 'u') {
        if (!pop_mark(r, &first))
            return false;
    } else {
        size_t values = list ? 1 : 2;
        if (!need(r, values))
            return false;
        first = r->count - values;
    }
    size_t floor = r->marks ? r->mark[r->marks - 1] : 0;
    if (first <= floor || r->stack[first - 1].kind != (list ? NQ_PICKLE_LIST : NQ_PICKLE_DICT))
        return refuse(r, "an opcode fills something that is no %s", list ? "list" : "dictionary");
    if (!list && (r->count - first) % 2)
        return refuse(r, "a dictionary's key has no value");
    for (size_t i = first; i < r->count; i++)
        if (nq_pickle_items_add(r->pickle, r->stack[first - 1].items, r->stack[i], r->err) != NQ_OK)
            return false;
    r->count = first;
    return true;
}

static bool op_put(run *r, uint8_t op)
{
    uint64_t index = r->memo_count; /* MEMOIZE */
    if (op != 0x94 && !take_integer(r, op == 'q' ? 1 : 4, &index))
        return false;
    if (!need(r, 1))
        return false;
    if (index >= NQ_PICKLE_MEMO)
        return refuse(r, "memo index %llu is not below %u: refused", (unsigned long long)index,
                      NQ_PICKLE_MEMO);
    if (index >= r->memo_room) {
        size_t room = r->memo_room ? 2 * r->memo_room : 256;
        if (room <= index)
            room = index + 1;
        nq_pickle_value *grown = realloc(r->memo, room * sizeof *grown);
        if (!grown)
            return nq_fail_nomem(r->err, "the pickle's memo", room * sizeof *grown), false;
        memset(grown + r->memo_room, 0, (room - r->memo_room) * sizeof *grown);
        r->memo = grown;
        r->memo_room = room;
    }
    r->memo_count += r->memo[index].kind == NQ_PICKLE_ABSENT;
    r->memo[index] = r->stack[r->count - 1];
    return true;
}

static bool op_get(run *r, uint8_t op)
{
    uint64_t index;
    if (!take_integer(r, op == 'h' ? 1 : 4, &index))
        return false;
    if (index >= r->memo_room || r->memo[index].kind == NQ_PICKLE_ABSENT)
        return refuse(r, "memo entry %llu was never written", (unsigned long long)index);
    return push(r, r->memo[index]);
}

static bool take_line(run *r, nq_pickle_value *line)
{
    const uint8_t *start = r->data + r->at;
    size_t limit = r->size - r->at < NQ_PICKLE_NAME ? r->size - r->at : NQ_PICKLE_NAME;
    const uint8_t *end = limit ? memchr(start, '\n', limit) : NULL;
    if (!end && limit < NQ_PICKLE_NAME)
        return take(r, limit + 1) != NULL;
    if (!end)
        return refuse(r, "a global's name does not end within %u bytes", NQ_PICKLE_NAME);
    *line =
        (nq_pickle_value){.kind = NQ_PICKLE_TEXT, .length = (uint32_t)(end - start), .text = start};
    r->at += (size_t)(end - start) + 1;
    return true;
}

static bool op_global(run *r, uint8_t op)
{
    nq_pickle_value module, name, value;
    if (op == 'c') {
        if (!take_line(r, &module) || !take_line(r, &name))
            return false;
    } else { /* STACK_GLOBAL */
        if (!need(r, 2))
            return false;
        module = r->stack[r->count - 2];
        name = r->stack[r->count - 1];
        r->count -= 2;
    }
    return nq_pickle_find_global(r->pickle, module, name, &value, r->err) == NQ_OK &&
           push(r, value);
}

static bool op_reduce(run *r, uint8_t op)
{
    (void)op;
    if (!need(r, 2))
        return false;
    nq_pickle_value value;
    r->count -= 2;
    return nq_pickle_call(r->pickle, r->stack[r->count], r->stack[r->count + 1], &value, r->err) ==
               NQ_OK &&
           push(r, value);
}

/* The attributes of an OrderedDict (_metadata) and of an old Parameter (requires_grad): dropped. */
static bool op_build(run *r, uint8_t op)
{
    (void)op;
    if (!need(r, 2))
        return false;
    nq_pickle_kind target = r->stack[r->count - 2].kind;
    nq_pickle_kind state = r->stack[r->count - 1].kind;
    r->count--;
    if ((target == NQ_PICKLE_DICT && state == NQ_PICKLE_DICT) ||
        (target == NQ_PICKLE_TENSOR && state == NQ_PICKLE_TUPLE))
        return true;
    return refuse(r, "BUILD on something that is no dictionary of attributes: refused");
}

static bool op_persistent(run *r, uint8_t op)
{
    (void)op;
    if (!need(r, 1))
        return false;
    nq_pickle_value value;
    r->count--;
    return nq_pickle_persistent(r->pickle, r->stack[r->count], &value, r->err) == NQ_OK &&
           push(r, value);
}

static bool (*const handlers[256])(run *r, uint8_t op) = {
    [0x80] = op_protocol, [0x95] = op_frame,    ['.'] = op_stop,      ['('] = op_mark,
    ['N'] = op_constant,  [0x88] = op_constant, [0x89] = op_constant, ['J'] = op_integer,
    ['K'] = op_integer,   ['M'] = op_integer,   [0x8a] = op_long,     [0x8b] = op_long,
    ['G'] = op_float,     ['X'] = op_text,      [0x8c] = op_text,     [0x8d] = op_text,
    ['T'] = op_text,      ['U'] = op_text,      ['B'] = op_text,      ['C'] = op_text,
    [0x8e] = op_text,     [')'] = op_empty,     [']'] = op_empty,     ['}'] = op_empty,
    ['t'] = op_tuple,     [0x85] = op_tuple,    [0x86] = op_tuple,    [0x87] = op_tuple,
    ['a'] = op_fill,      ['e'] = op_fill,      ['s'] = op_fill,      ['u'] = op_fill,
    ['q'] = op_put,       ['r'] = op_put,       [0x94] = op_put,      ['h'] = op_get,
    ['j'] = op_get,       ['c'] = op_global,    [0x93] = op_global,   ['R'] = op_reduce,
    ['b'] = op_build,     ['Q'] = op_persistent};

static bool step(run *r, size_t base)
{
    r->pickle->at = base + r->at;
    if (r->pickle->steps++ >= NQ_PICKLE_STEPS)
        return refuse(r, "the pickle has more than %u opcodes: refused", NQ_PICKLE_STEPS);
    const uint8_t *op = take(r, 1);
    if (!op)
        return false;
    if (!handlers[*op])
        return refuse(r, "opcode 0x%02x is not one that torch.save writes: refused", *op);
    return handlers[*op](r, *op);
}

nq_status nq_pickle_run(nq_pickle *pickle, const uint8_t *data, size_t size, size_t base,
                        nq_pickle_value *value, size_t *used, nq_error *err)
{
    nq_error local = {0};
    run r = {.pickle = pickle, .data = data, .size = size, .err = &local};
    if (r.size > NQ_PICKLE_BYTES) {
        r.size = NQ_PICKLE_BYTES;
        r.cut = true;
    }
    while (!r.stopped && step(&r, base))
        ;
    if (local.status == NQ_OK) {
        *value = r.stack[0];
        *used = r.at;
    } else if (err) {
        *err = local;
    }
    free(r.stack);
    free(r.memo);
    return local.status;
}
