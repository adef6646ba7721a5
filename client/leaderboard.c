/* netqctl leaderboard: results in the challenge's order. */
#include "client/catalogue.h"
#include "client/format.h"
#include "client/table.h"
#include "client/verbs.h"
#include "common/text.h"

#include <math.h>
#include <string.h>

typedef struct {
    nq_verb_input base;
    const char *dataset, *model;
} leaderboard_input;

static error_t parse(int key, char *argument, struct argp_state *state)
{
    leaderboard_input *input = state->input;
    switch (key) {
    case 'd':
        input->dataset = argument;
        return 0;
    case 'm':
        input->model = argument;
        return 0;
    default:
        return nq_verb_parse_key(key, argument, state);
    }
}

/* "8/4": bits of weights and activations; strings pass as they are. */
static void bits_text(const json_t *row, char text[NQ_TEXT])
{
    long long weights = nq_view_int(row, "weights_bits", -1);
    long long activations = nq_view_int(row, "activations_bits", -1);
    *text = 0;
    if (weights >= 0 && activations >= 0)
        snprintf(text, NQ_TEXT, "%lld/%lld", weights, activations);
    else if (strcmp(nq_view_text(row, "weights_bits"), "auto") == 0 && activations >= 0)
        snprintf(text, NQ_TEXT, "auto/%lld", activations);
}

static void print_row(nq_table *table, const json_t *row)
{
    char bits[NQ_TEXT], ratio[NQ_TEXT], exact[NQ_TEXT], size[NQ_TEXT];
    long long tenths = nq_view_int(row, "top1_tenths", -1);
    bits_text(row, bits);
    nq_format_real(nq_view_real(row, "compression_ratio"), 4, ratio);
    nq_format_real(nq_view_real(row, "top1"), 2, exact);
    nq_format_bytes(nq_view_int(row, "new_model_size", -1), size);
    nq_table_add_format(table, "%lld", nq_view_int(row, "rank", -1));
    if (nq_view_int(row, "group", -1) >= 0)
        nq_table_add_format(table, "g%lld", nq_view_int(row, "group", -1));
    else
        nq_table_add_format(table, "%lld", nq_view_int(row, "job", -1));
    nq_table_add(table, nq_view_text(row, "model"));
    nq_table_add(table, nq_view_text(row, "preset"));
    nq_table_add(table, bits);
    nq_table_add(table, ratio);
    if (tenths >= 0)
        nq_table_add_format(table, "%lld.%lld", tenths / 10, tenths % 10);
    else
        nq_table_add(table, "");
    nq_table_add(table, exact);
    nq_table_add(table, size);
}

static nq_status print_board(nq_client *client, const json_t *board, nq_error *err)
{
    static const char *const headings[] = {">RANK",    "JOB",    "MODEL",   "PRESET", "?W/A",
                                           ">RATIO %", ">TOP-1", "?>EXACT", ">SIZE",  NULL};
    nq_table *table = nq_table_new(headings);
    char name[NQ_TEXT], fingerprint[NQ_TEXT];
    size_t i;
    json_t *row;
    nq_text_clean(nq_view_text(board, "dataset"), name, sizeof name);
    nq_text_clean(nq_view_text(board, "fingerprint"), fingerprint, sizeof fingerprint);
    json_array_foreach(json_object_get(board, "rows"), i, row)
    {
        print_row(table, row);
    }
    fprintf(client->out, "%s (%.16s)\n", name, fingerprint);
    return nq_table_print(table, client->out, err);
}

static nq_status print_boards(nq_client *client, const json_t *reply, nq_error *err)
{
    const json_t *boards = json_object_get(reply, "boards");
    nq_status status = NQ_OK;
    size_t i;
    json_t *board;
    if (json_array_size(boards) == 0)
        fprintf(client->messages,
                "netqctl: nothing ranks yet (float, partial and failed jobs never do, nor those "
                "that save 25 %% or less)\n");
    json_array_foreach(boards, i, board)
    {
        if (i > 0)
            fputc('\n', client->out);
        if (status == NQ_OK)
            status = print_board(client, board, err);
    }
    return status;
}

int nq_verb_leaderboard(nq_client *client, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"dataset", 'd', "NAME", 0, "Only this dataset", 0},
        {"model", 'm', "NAME", 0, "Only this model", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Ranks complete jobs as the challenge does: by compression ratio, then by top-1 "
               "rounded to 0.1; equal ones share a rank. A group's row is the mean over its "
               "models.",
        .children = nq_common_children};
    leaderboard_input input = {.base = {.client = client}};
    nq_verb_parse(&argp, argc, argv, &input);
    json_t *request = nq_request("leaderboard");
    if (input.dataset)
        json_object_set_new(request, "dataset", json_string(input.dataset));
    if (input.model)
        json_object_set_new(request, "model", json_string(input.model));
    return nq_catalogue(client, request, "boards", print_boards);
}
